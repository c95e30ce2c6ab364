"""Commands that steer a study: stop, resume, extend, retry, delete."""

from __future__ import annotations

import os
from shlex import quote

import click

from lrsearch.cli.completing import study_argument
from lrsearch.cli.opening import existing_study
from lrsearch.cli.options import duration, echo_json, json_option, storage_option
from lrsearch.values import StudyState


@click.command("stop")
@study_argument
@click.option("--now", is_flag=True, help="Interrupt running trials; they go back to the queue. [default: let them end]")
@storage_option
@json_option
def stop(study: str, *, now: bool, storage: str | None, as_json: bool) -> None:
    """Let no further trial of STUDY begin, on any machine."""
    from lrsearch.report.words import counted

    with existing_study(study, storage) as (ledger, record):
        state = StudyState.STOPPED if now else StudyState.DRAINING
        ledger.set_state(record.id, state, reason="stopped by hand")
        running = ledger.counts(record.id).running
    what = f"{counted(running, 'running trial')} {'are' if running != 1 else 'is'}"
    message = f"{what} {'interrupted' if now else 'let end'}; lrsearch resume {quote(study)} lets workers go on."
    _say({"study": study, "state": state.value, "running": running}, message, as_json=as_json)


@click.command("resume")
@study_argument
@storage_option
@json_option
def resume(study: str, *, storage: str | None, as_json: bool) -> None:
    """Open STUDY again after stop; attached workers go on, others attach or start-study again."""
    from lrsearch.report.words import counted

    with existing_study(study, storage) as (ledger, record):
        ledger.set_state(record.id, StudyState.OPEN)
        counts = ledger.counts(record.id)
    message = f"{study} is open. {counted(counts.waiting, 'trial')} waiting; attach workers with: lrsearch attach {quote(study)}"
    _say({"study": study, "state": StudyState.OPEN.value, "waiting": counts.waiting}, message, as_json=as_json)


@click.command("extend")
@study_argument
@click.option("--trials", type=click.IntRange(min=1), help="So many trials more.")
@click.option("--timeout", callback=duration, metavar="TIME", help="So much time from now: 90s, 45m, 8h.")
@storage_option
@json_option
def extend(study: str, *, trials: int | None, timeout: float | None, storage: str | None, as_json: bool) -> None:
    """Raise the budget of STUDY by more trials, or give it time."""
    from lrsearch.report.words import counted

    if trials is None and timeout is None:
        raise click.UsageError("say by how much: --trials N, --timeout TIME, or both.")
    with existing_study(study, storage) as (ledger, record):
        extended = ledger.extend(record.id, trials=trials, timeout_seconds=timeout)
    budget = "any number of trials" if extended.trials is None else counted(extended.trials, "trial")
    message = f"{study} has a budget of {budget} now; lrsearch attach {quote(study)} trains them."
    _say({"study": study, "budget": extended.trials, "state": extended.state.value}, message, as_json=as_json)


@click.command("retry")
@study_argument
@click.option("--failed", is_flag=True, required=True, help="Every failed trial.")
@storage_option
@json_option
def retry(study: str, *, failed: bool, storage: str | None, as_json: bool) -> None:
    """Train failed settings of STUDY once more, as new trials; the budget rises by as many."""
    from lrsearch.report.words import counted

    del failed  # the one choice there is, said aloud on purpose
    with existing_study(study, storage) as (ledger, record):
        numbers = ledger.retry_failed(record.id)
    message = f"{counted(len(numbers), 'failed trial')} waiting to be trained again; lrsearch attach {quote(study)} trains them."
    _say({"study": study, "enqueued": numbers}, message, as_json=as_json)


@click.command("delete")
@study_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--checkpoints", type=click.Path(file_okay=False), help="Folder of checkpoints. [default: beside the database]")
@storage_option
@json_option
def delete(study: str, *, yes: bool, checkpoints: str | None, storage: str | None, as_json: bool) -> None:
    """Delete STUDY: its trials, curves and checkpoints. Refused while a worker trains it."""
    from lrsearch.launch import remove_checkpoints
    from lrsearch.report.words import counted
    from lrsearch.storage import resolve_url

    with existing_study(study, storage) as (ledger, record):
        counts = ledger.counts(record.id)
        if not yes:
            click.confirm(f"Delete {study} and its {counted(counts.total, 'trial')}?", abort=True, err=True)
        ledger.delete_study(record.id)
    remove_checkpoints(record, checkpoints, resolve_url(storage, os.environ))
    _say({"study": study, "deleted": True}, f"deleted {study}.", as_json=as_json)


def _say(data: dict[str, object], message: str, *, as_json: bool) -> None:
    if as_json:
        echo_json(data)
    else:
        click.echo(message)
