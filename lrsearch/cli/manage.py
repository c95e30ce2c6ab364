"""Commands that steer a study: stop, resume, extend, retry, delete."""

from __future__ import annotations

import os
from shlex import quote

import click

from lrsearch.cli.failures import MissingOption
from lrsearch.cli.opening import open_study
from lrsearch.cli.options import (
    checkpoints_option,
    count_option,
    echo,
    stored_study_options,
    time_option,
)
from lrsearch.errors import Refused
from lrsearch.values import StudyState


@click.command("stop")
@click.option(
    "--now",
    is_flag=True,
    help="Interrupt running trials; they go back to the queue. [default: let them end]",
)
@stored_study_options
def stop(study: str, *, now: bool, storage: str | None, as_json: bool) -> None:
    """Let no further trial of STUDY begin, on any machine.
    A study that has ended stays as it is.
    """
    from lrsearch.answer.words import count_text

    with open_study(study, storage) as (ledger, record):
        wanted = StudyState.STOPPED if now else StudyState.DRAINING
        state = ledger.set_state(record.id, wanted, reason="stopped by hand")
        running = ledger.counts(record.id).running
    one = running == 1
    ends = f"{'is' if one else 'are'} interrupted" if now else f"end{'s' * one}"
    message = f"{study} is {state.value}: there is nothing to stop."
    if state is wanted:
        trials = count_text(running, "running trial")
        resume = f"lrsearch resume {quote(study)}"
        message = f"{trials} {ends}; {resume} lets workers go on."
    echo(
        {"study": study, "state": state.value, "running": running},
        message,
        as_json=as_json,
    )


@click.command("resume")
@stored_study_options
def resume(study: str, *, storage: str | None, as_json: bool) -> None:
    """Open STUDY again after stop; attached workers go on, others attach or start-study again.

    Refused where nothing is left to train.
    """
    from lrsearch.answer.words import count_text

    with open_study(study, storage) as (ledger, record):
        state = ledger.set_state(record.id, StudyState.OPEN)
        counts = ledger.counts(record.id)
    if state is not StudyState.OPEN:
        fix = _MORE[state].format(quote(study))
        raise Refused(
            f"{study} is {state.value}, and nothing is left to train.", fix=fix
        )
    waiting, command = counts.waiting, f"lrsearch attach {quote(study)}"
    trials = count_text(waiting, "trial")
    message = f"{study} is open. {trials} to train; attach workers with: {command}"
    echo(
        {"study": study, "state": state.value, "waiting": waiting},
        message,
        as_json=as_json,
    )


@click.command("extend")
@count_option("--trials", help="Add so many trials.")
@count_option("--trainings", help="Add so many trainings, retests included.")
@time_option("--timeout", "End so much time from now: 90s, 45m, 8h.")
@stored_study_options
def extend(
    study: str,
    *,
    trials: int | None,
    trainings: int | None,
    timeout: float | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Raise the budget of STUDY by more trials or trainings, or give it time."""
    from lrsearch.answer.words import count_text

    if trials is None and trainings is None and timeout is None:
        raise MissingOption(
            "say by how much: --trials N, --trainings N, --timeout TIME.",
            field="--trials",
            allowed=["--trials N", "--trainings N", "--timeout TIME"],
        )
    if trials is not None and trainings is not None and trials > trainings:
        raise click.UsageError(
            f"--trials must be at most the {trainings} of --trainings."
        )
    with open_study(study, storage) as (ledger, record):
        extended = ledger.extend(
            record.id, trials=trials, trainings=trainings, timeout_seconds=timeout
        )
    budget = (
        count_text(extended.trials, "trial")
        if extended.trials
        else "any number of trials"
    )
    limit = (
        f" and {count_text(extended.trainings, 'training')} with retests"
        if extended.trainings
        else ""
    )
    message = (
        f"{study} has a budget of {budget}{limit} now; {_next(study, extended.state)}"
    )
    totals = {"budget": extended.trials, "trainings": extended.trainings}
    echo(
        {"study": study, **totals, "state": extended.state.value},
        message,
        as_json=as_json,
    )


@click.command("retry")
@click.option("--failed", is_flag=True, required=True, help="Every failed trial.")
@stored_study_options
def retry(study: str, *, failed: bool, storage: str | None, as_json: bool) -> None:
    """Train failed settings of STUDY once more, as new trials; the budget rises by as
    many, and a broken study is open again.
    """
    from lrsearch.answer.words import count_text

    del failed  # the only choice; the caller must still name it
    with open_study(study, storage) as (ledger, record):
        numbers = ledger.retry_failed(record.id)
        state = ledger.study(study).state
    failed_text = count_text(len(numbers), "failed trial")
    waiting = f"{failed_text} to be trained again; {_next(study, state)}"
    message = (
        waiting
        if numbers
        else f"no trial of {study} has failed and waits for a retry: nothing was changed."
    )
    echo(
        {"study": study, "enqueued": numbers, "state": state.value},
        message,
        as_json=as_json,
    )


@click.command("delete")
@click.option("--yes", is_flag=True, help="Do not ask.")
@checkpoints_option
@stored_study_options
def delete(
    study: str,
    *,
    yes: bool,
    checkpoints: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Delete STUDY: its trials, curves and checkpoints. Refused while a worker trains it."""
    from lrsearch.answer.words import count_text
    from lrsearch.setup.checkpoint_folder import remove_checkpoints
    from lrsearch.storage import resolve_url

    with open_study(study, storage) as (ledger, record):
        counts = ledger.counts(record.id)
        if not yes:
            click.confirm(
                f"Delete {study} and its {count_text(counts.total, 'trial')}?",
                abort=True,
                err=True,
            )
        ledger.delete_study(record.id)
    remove_checkpoints(record, checkpoints, resolve_url(storage, os.environ))
    echo({"study": study, "deleted": True}, f"deleted {study}.", as_json=as_json)


_MORE = {
    StudyState.FINISHED: "More trials: lrsearch extend {0} --trials N.",
    StudyState.BROKEN: "Mend its file, then: lrsearch retry {0} --failed.",
}


def _next(study: str, state: StudyState) -> str:
    """The command that lets workers train the waiting trials."""
    if state in {StudyState.OPEN, StudyState.FINISHED}:
        return f"lrsearch attach {quote(study)} trains them."
    name = quote(study)
    return f"{study} is {state.value}: lrsearch resume {name}, then lrsearch attach {name}."
