"""Commands that look and change nothing: studies, status, trials, show, workers, version."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from lrsearch.cli.completing import complete_trial
from lrsearch.cli.opening import columns, open_storage, open_study
from lrsearch.cli.options import echo, json_option, storage_option, stored_study_options
from lrsearch.cli.run import check_result
from lrsearch.cli.waiting import exit_code, next_action, wait_for_change
from lrsearch.errors import StudyBroken
from lrsearch.values import StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger
    from lrsearch.values import Json


@click.command("studies")
@storage_option
@json_option
def studies(*, storage: str | None, as_json: bool) -> None:
    """List the studies in the database."""
    from lrsearch.report.studies import studies_table, study_rows

    with open_storage(storage) as ledger:
        rows = study_rows(
            [(study, ledger.counts(study.id)) for study in ledger.studies()]
        )
    echo(rows, studies_table(rows, width=columns()), as_json=as_json)


@click.command("status")
@click.option(
    "--watch",
    is_flag=True,
    help="Show it again every two seconds until the study ends.",
)
@click.option(
    "--wait",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="Return at a change (state, best, retests, workers), or after so many seconds; "
    "with the verdict so far and what to do next. Exit code 0: it has ended, "
    "5: workers train it, 6: it has not ended and no worker trains it.",
)
@stored_study_options
def status(
    study: str, *, watch: bool, wait: int | None, storage: str | None, as_json: bool
) -> None:
    """Show how far STUDY is, its workers and its best value so far."""
    from lrsearch.report.status_page import status_text

    if watch and wait is not None:
        raise click.UsageError(
            "--watch and --wait exclude each other: give one of them."
        )
    with open_study(study, storage) as (ledger, _):
        look = partial(_look, ledger, study)
        if wait is not None:
            _show_change(ledger, look, wait, as_json=as_json)
            return
        while True:
            data = look()
            text = status_text(data, width=columns(), watched=watch)
            if watch and not as_json:
                click.clear()
            echo(data, text, as_json=as_json)
            if not watch or data["ended"]:
                return
            time.sleep(2.0)


def _look(ledger: Ledger, name: str) -> dict[str, Json]:
    """How far the study is now."""
    from lrsearch.answer import spent_on
    from lrsearch.report.status_page import status_data

    ledger.reap()
    record = ledger.study(name)
    records = ledger.trials(record.id)
    return status_data(
        record,
        ledger.counts(record.id),
        records,
        ledger.workers(record.id),
        engines=ledger.calibrations(record.id),
        now=ledger.now(),
        spent=spent_on(records, ledger.all_attempts(record.id)),
    )


def _show_change(
    ledger: Ledger, look: Callable[[], dict[str, Json]], seconds: int, *, as_json: bool
) -> None:
    """Wait for a change, show it with the verdict and the next step, and leave with its code."""
    from lrsearch.report.reading import read_answer
    from lrsearch.report.status_page import status_text

    data = wait_for_change(look, seconds)
    record = ledger.study(data["study"])
    records = ledger.trials(record.id)
    answer = read_answer(ledger, record, records).to_json()
    data |= {"verdict": answer["verdict"], "next": next_action(data, answer["next"])}
    said = f"{data['verdict']['text']}\n{data['next']['text']}"
    text = f"{said}\n\n{status_text(data, width=columns())}"
    echo(data, text, as_json=as_json)
    if record.state is StudyState.BROKEN:
        raise click.exceptions.Exit(StudyBroken.exit_code)
    check_result(record, records)
    if code := exit_code(data):
        raise click.exceptions.Exit(code)


@click.command("trials")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="What to print; --json is --format json.",
)
@stored_study_options
def trials(study: str, *, form: str, storage: str | None, as_json: bool) -> None:
    """List the trials of STUDY and its retests."""
    from lrsearch.report.trials import trial_rows, trials_csv, trials_table

    if as_json and form == "csv":
        raise click.UsageError(
            "--json and --format csv exclude each other: give one of them."
        )
    as_json = as_json or form == "json"
    with open_study(study, storage) as (ledger, record):
        records = ledger.trials(record.id)
    if form == "csv":
        click.echo(trials_csv(records, record.facts), nl=False)
        return
    echo(
        trial_rows(records, record.facts),
        trials_table(records, facts=record.facts, width=columns()),
        as_json=as_json,
    )


@click.command("show")
@stored_study_options
@click.argument("trial", shell_complete=complete_trial)
def show(study: str, trial: str, *, storage: str | None, as_json: bool) -> None:
    """Show one TRIAL of STUDY: its setting, attempts, curve and error. 7 is a trial,
    7/2 its second retest.
    """
    from lrsearch.report.finding import find_trial
    from lrsearch.report.trial_page import trial_data, trial_text

    with open_study(study, storage) as (ledger, record):
        found = find_trial(study, ledger.trials(record.id), trial)
        fold = record.facts.fold_of(found.repeat)
        data = trial_data(
            found, ledger.curve(found.id), ledger.attempts(found.id), fold=fold
        )
    echo(data, trial_text(found, data, width=columns()), as_json=as_json)


@click.command("workers")
@stored_study_options
def workers(study: str, *, storage: str | None, as_json: bool) -> None:
    """List the workers of STUDY: host, process, slot, state, when last seen."""
    from lrsearch.report.workers import worker_rows, workers_table

    with open_study(study, storage) as (ledger, record):
        rows = worker_rows(ledger.workers(record.id), now=ledger.now())
    echo(rows, workers_table(rows, width=columns()), as_json=as_json)


@click.command("version")
@json_option
def version(*, as_json: bool) -> None:
    """Print the versions of lrsearch and of the libraries under it."""
    from lrsearch.version import installed, versions

    found = versions() | {
        name: installed(name) for name in ("optuna-dashboard", "sqlalchemy")
    }
    echo(
        found,
        "\n".join(f"{name:<17} {number}" for name, number in found.items()),
        as_json=as_json,
    )
