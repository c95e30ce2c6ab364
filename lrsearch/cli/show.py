"""Commands that look: studies, status, trials, show, workers, version. None changes a result."""

from __future__ import annotations

import time

import click

from lrsearch.cli.completing import complete_trial, study_argument
from lrsearch.cli.opening import columns, open_storage, open_study
from lrsearch.cli.options import echo, json_option, storage_option


@click.command("studies")
@storage_option
@json_option
def studies(*, storage: str | None, as_json: bool) -> None:
    """List the studies in the database."""
    from lrsearch.report.studies import studies_table, study_rows

    with open_storage(storage) as ledger:
        rows = study_rows([(study, ledger.counts(study.id)) for study in ledger.studies()])
    echo(rows, studies_table(rows, width=columns()), as_json=as_json)


@click.command("status")
@study_argument
@click.option("--watch", is_flag=True, help="Show it again every two seconds until the study ends.")
@storage_option
@json_option
def status(study: str, *, watch: bool, storage: str | None, as_json: bool) -> None:
    """Show how far STUDY is, its workers and its best value so far."""
    from lrsearch.answer import spent_on
    from lrsearch.report.status_page import status_data, status_text

    with open_study(study, storage) as (ledger, _):
        while True:
            ledger.reap()
            record = ledger.study(study)
            records = ledger.trials(record.id)
            data = status_data(
                record,
                ledger.counts(record.id),
                records,
                ledger.workers(record.id),
                engines=ledger.calibrations(record.id),
                now=ledger.now(),
                spent=spent_on(records, ledger.all_attempts(record.id)),
            )
            text = status_text(data, width=columns(), watched=watch)
            if watch and not as_json:
                click.clear()
            echo(data, text, as_json=as_json)
            if not watch or data["ended"]:
                return
            time.sleep(2.0)


@click.command("trials")
@study_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="What to print; --json is --format json.",
)
@storage_option
@json_option
def trials(study: str, *, form: str, storage: str | None, as_json: bool) -> None:
    """List the trials of STUDY and its retests."""
    from lrsearch.report.trials import trial_row, trials_csv, trials_table

    if as_json and form == "csv":
        raise click.UsageError("--json and --format csv exclude each other.")
    as_json = as_json or form == "json"
    with open_study(study, storage) as (ledger, record):
        records = ledger.trials(record.id)
    if form == "csv":
        click.echo(trials_csv(records), nl=False)
        return
    echo(
        [trial_row(each) for each in records],
        trials_table(records, width=columns()),
        as_json=as_json,
    )


@click.command("show")
@study_argument
@click.argument("trial", shell_complete=complete_trial)
@storage_option
@json_option
def show(study: str, trial: str, *, storage: str | None, as_json: bool) -> None:
    """Show one TRIAL of STUDY: its setting, attempts, curve and error. 7 is a trial, 7/2 its second
    retest.
    """
    from lrsearch.report.finding import find_trial
    from lrsearch.report.trial_page import trial_data, trial_text

    with open_study(study, storage) as (ledger, record):
        found = find_trial(study, ledger.trials(record.id), trial)
        data = trial_data(found, ledger.curve(found.id), ledger.attempts(found.id))
    echo(data, trial_text(found, data, width=columns()), as_json=as_json)


@click.command("workers")
@study_argument
@storage_option
@json_option
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

    found = versions() | {name: installed(name) for name in ("optuna-dashboard", "sqlalchemy")}
    echo(
        found, "\n".join(f"{name:<17} {number}" for name, number in found.items()), as_json=as_json
    )
