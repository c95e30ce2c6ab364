"""Commands that search: write a study file, start a study, attach workers to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.completing import study_argument
from lrsearch.cli.opening import existing_study, room
from lrsearch.cli.options import (
    echo_json,
    json_option,
    output_options,
    search_options,
    space_options,
    storage_option,
    study_file_option,
    take_options,
    take_progress,
    training_options,
    until_option,
    worker_options,
)

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
        raise InvalidValue("FILE", got=str(file), allowed="a name that ends in .py")
    study_name(file)  # refuses a stem that no database would take
    if file.exists():
        raise InvalidValue(
            "FILE",
            got=str(file),
            allowed="a file that does not exist yet",
            fix="Choose another name.",
        )
    if not file.parent.is_dir():
        raise InvalidValue(
            "FILE",
            got=str(file),
            allowed="in a folder that exists",
            fix=f"Create {file.parent} first.",
        )
    file.write_text(STARTER.read_text(encoding="utf-8"), encoding="utf-8")
    click.echo(
        f"wrote {file}. Put your model and data into it, then: lrsearch start-study {quote(str(file))}"
    )


@click.command("start-study")
@click.argument("study_file", type=click.Path(path_type=Path))
@click.option("--name", help="The study's name. [default: the file's, without .py]")
@storage_option
@search_options
@space_options
@worker_options
@training_options
@click.option(
    "--create-only",
    is_flag=True,
    help="Make the study and leave; one that exists is left as it is.",
)
@output_options
@json_option
def start_study(study_file: Path, *, create_only: bool, as_json: bool, **options: Any) -> None:
    """Search optimizer, peak rate and schedule for the model in STUDY_FILE.

    It ends with the answer.

    A study that exists goes on where it stood, if its definition is the same; --trials is its
    total, so a larger one adds trials. Ctrl-C puts running trials back; a second one leaves at
    once.
    """
    from lrsearch.launch import run_study

    progress = take_progress(options, as_json=as_json)
    search, machine = take_options(options)
    with progress as listen:
        study = run_study(study_file, search, machine, create_only=create_only, listen=listen)
    if create_only:
        tell_created(study.name, as_json=as_json)
    else:
        tell_answer(study.name, machine.storage, as_json=as_json)


@click.command("attach")
@study_argument
@study_file_option
@until_option
@storage_option
@worker_options
@training_options
@output_options
@json_option
def attach(study: str, *, study_file: Path | None, as_json: bool, **options: Any) -> None:
    """Train trials of STUDY with this machine's workers too.

    It may run elsewhere, or have been stopped.

    Any number of machines may attach and leave at any time; the budget stays exact.
    """
    from lrsearch.launch import attach as attach_workers

    progress = take_progress(options, as_json=as_json)
    search, machine = take_options(options)
    with progress as listen:
        record = attach_workers(study, search, machine, study_file=study_file, listen=listen)
    if as_json:
        echo_json({"study": study, "state": record.state.value})
    else:
        click.echo(f"{study} is {record.state.value}. Its answer: lrsearch best {quote(study)}")
    with existing_study(study, machine.storage) as (ledger, record):
        check_result(record, ledger.trials(record.id))


def tell_created(name: str, *, as_json: bool) -> None:
    """Say that the study is there, and how to train it."""
    if as_json:
        echo_json({"study": name, "created": True})
    else:
        click.echo(f"{name} is ready; attach workers with: lrsearch attach {quote(name)}")


def tell_answer(name: str, storage: str | None, *, as_json: bool, beside: Json = None) -> None:
    """Print the study's answer as `lrsearch best` does, and what to do next; as JSON within
    `beside`, where that is given.
    """
    from lrsearch.answer import summarise
    from lrsearch.report import answer_text

    with existing_study(name, storage) as (ledger, record):
        records = ledger.trials(record.id)
        answer = summarise(record, records, ledger.all_attempts(record.id))
    if as_json:
        echo_json(answer.to_json() if beside is None else {**beside, "answer": answer.to_json()})
        check_result(record, records)
        return
    click.echo(answer_text(answer, width=room()))
    check_result(record, records)
    name = quote(name)
    click.echo(
        f"\nPaste it:  lrsearch export {name}\nSee it:    lrsearch plot {name} -o pictures\nBrowse it: lrsearch dashboard"
    )


def check_result(study: StudyRecord, records: Sequence[TrialRecord]) -> None:
    """Raise NoResult where the study is done, and its search found nothing that could be compared."""
    from lrsearch.answer import nothing_to_compare, ranking
    from lrsearch.errors import NoResult
    from lrsearch.values import Kind, Origin, StudyState

    if study.state is not StudyState.FINISHED:
        return
    fix = f"See lrsearch trials {quote(study.name)}."
    if not ranking(records, study.plan.facts.direction):
        raise NoResult(
            f"study {study.name!r} is done, and no trial ran to its end with a value. {fix}"
        )
    searched = any(each.kind is Kind.SEARCH and each.origin is not Origin.YOURS for each in records)
    if searched and nothing_to_compare(records):
        raise NoResult(
            f"study {study.name!r} is done, and no searched trial ran well: there is nothing to compare. {fix}"
        )
