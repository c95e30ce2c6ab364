"""Commands that search: write a study file, start a study, attach workers to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.background import search_in_background
from lrsearch.cli.clusters import (
    check_cluster_options,
    cluster_options,
    leave_by_option,
    leaving_time,
    make_tasks,
    submit_tasks,
)
from lrsearch.cli.completing import study_argument
from lrsearch.cli.opening import columns, open_study
from lrsearch.cli.options import (
    echo,
    echo_json,
    json_option,
    output_options,
    show_progress,
    storage_option,
    study_file_option,
    study_options,
    take_options,
    training_options,
    until_option,
    worker_options,
)
from lrsearch.cli.output_files import check_folder, refuse_unwritable
from lrsearch.cli.tracking import log_to_option, track
from lrsearch.cli.words import RememberingCommand

if TYPE_CHECKING:
    from lrsearch.values import Json, StudyRecord, TrialRecord

STARTER = Path(__file__).with_name("starter.txt")


@click.command("new-study")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new_study(file: Path) -> None:
    """Write a commented study FILE to begin from."""
    from lrsearch.definition import study_name
    from lrsearch.errors import InvalidValue

    if file.suffix != ".py":
        fix = f"Call it {file.name}.py."
        raise InvalidValue(
            "FILE", got=str(file), allowed="a name that ends in .py", fix=fix
        )
    study_name(file)  # refuses a stem that no database would take
    if file.exists():
        new = "a file that does not exist yet"
        raise InvalidValue(
            "FILE", got=str(file), allowed=new, fix="Choose another name."
        )
    check_folder(file, field="FILE")
    with refuse_unwritable(file, field="FILE"):
        file.write_text(STARTER.read_text(encoding="utf-8"), encoding="utf-8")
    start = f"lrsearch start-study {quote(str(file))}"
    click.echo(f"wrote {file}. Put your model and data into it, then: {start}")


@click.command("start-study", cls=RememberingCommand)
@study_options
@click.option(
    "--create-only",
    is_flag=True,
    help="Make the study and leave; a study that exists stays as it is.",
)
@click.option(
    "--background",
    is_flag=True,
    help="Search in a process of its own, and return once the bill is known; "
    "its files are in lrsearch-background/NAME.",
)
@log_to_option
@output_options
@json_option
def start_study(
    study_file: Path,
    *,
    create_only: bool,
    background: bool,
    log_to: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Search optimizer, peak rate and schedule for the model in STUDY_FILE.

    It ends with the answer.

    A study that exists goes on, if its definition is the same; --trials is its total,
    so a larger number adds trials. Ctrl-C puts running trials back; a second Ctrl-C
    ends the command at once.
    """
    search, machine = take_options(options)  # --timeout counts from here
    if background:
        from lrsearch.definition import check_file, study_name

        name = study_name(check_file(study_file), search.name)
        search_in_background(study_file, name, machine.storage, as_json=as_json)
        return
    from lrsearch.launch.run import run_study

    with track(log_to, machine) as tracker:
        with show_progress(tracker, as_json=as_json, **options) as listen:
            study = run_study(
                study_file, search, machine, create_only=create_only, listen=listen
            )
        if not create_only:
            print_answer(study.name, machine.storage, as_json=as_json)
            return
    name = study.name
    ready = f"{name} is ready; attach workers with: lrsearch attach {quote(name)}"
    echo({"study": name, "created": True}, ready, as_json=as_json)


@click.command("attach", cls=RememberingCommand)
@study_argument
@click.argument("flags", nargs=-1, metavar="[-- FLAGS]")
@study_file_option
@until_option
@leave_by_option
@cluster_options
@storage_option
@worker_options
@training_options
@log_to_option
@output_options
@json_option
def attach(
    study: str, *, flags: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Train trials of STUDY with this machine's workers too.

    The study may run elsewhere, or have been stopped.

    Any number of machines may attach and leave at any time; the budget stays exact.
    With --on, a cluster starts the workers, and what follows -- goes to the cluster's
    own command.
    """
    on, dry_run, image = (options.pop(name) for name in ("on", "dry_run", "image"))
    check_cluster_options(on, dry_run=dry_run, image=image, flags=flags)
    if on is not None:
        tasks = make_tasks(study, flags, {**options, "image": image})
        submit_tasks(
            on, tasks, dry_run=dry_run, storage=options["storage"], as_json=as_json
        )
        return
    study_file = options.pop("study_file")
    leave_by = leaving_time(options.pop("leave_by"))
    search, machine = take_options(options)
    from lrsearch.launch.attaching import attach as attach_workers

    log_to = options.pop("log_to")
    with (
        track(log_to, machine) as tracker,
        show_progress(tracker, as_json=as_json, **options) as listen,
    ):
        record = attach_workers(
            study,
            search,
            machine,
            study_file=study_file,
            leave_by=leave_by,
            listen=listen,
        )
    state = record.state.value
    answer = f"{study} is {state}. Its answer: lrsearch best {quote(study)}"
    echo({"study": study, "state": state}, answer, as_json=as_json)
    with open_study(study, machine.storage) as (ledger, record):
        check_result(record, ledger.trials(record.id))


def print_answer(
    name: str, storage: str | None, *, as_json: bool, beside: Json = None
) -> None:
    """Print the study's answer as `lrsearch best` does, and what to do next; as JSON
    within `beside`, where that is given.
    """
    from lrsearch.report.answer_page import answer_text
    from lrsearch.report.reading import read_answer

    with open_study(name, storage) as (ledger, record):
        records = ledger.trials(record.id)
        answer = read_answer(ledger, record, records)
    if as_json:
        echo_json(
            answer.to_json()
            if beside is None
            else {**beside, "answer": answer.to_json()}
        )
        check_result(record, records)
        return
    click.echo(answer_text(answer, width=columns()))
    check_result(record, records)
    name = quote(name)
    click.echo(
        f"\nPaste it:  lrsearch export {name}\n"
        f"Train it:  lrsearch train {name} -o model.keras\n"
        f"See it:    lrsearch report {name} -o report.html\n"
        "Browse it: lrsearch dashboard"
    )


def check_result(study: StudyRecord, records: Sequence[TrialRecord]) -> None:
    """Raise NoResult where the study is done and its search found nothing to compare."""
    from lrsearch.answer import nothing_to_compare, rank_trials
    from lrsearch.answer.ranking import searched
    from lrsearch.errors import NoResult
    from lrsearch.values import StudyState

    if study.state is not StudyState.FINISHED:
        return
    if not rank_trials(records, study.direction):
        found = "no trial ran to its end with a value."
    elif any(searched(records)) and nothing_to_compare(records):
        found = "no searched trial ran well: there is nothing to compare."
    else:
        return
    fix = f"See lrsearch trials {quote(study.name)}."
    raise NoResult(f"study {study.name!r} is done, and {found}", fix=fix)
