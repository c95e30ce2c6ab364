"""Commands that search: write a study file, start a study, attach workers to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.completing import study_argument
from lrsearch.cli.opening import existing_study, room
from lrsearch.cli.options import (
    duration,
    echo_json,
    json_option,
    output_options,
    size,
    space_options,
    space_overrides,
    storage_option,
    together,
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


SAMPLERS = ["tpe", "random", "qmc", "gp"]
PRUNERS = ["none", "median", "asha", "hyperband"]

search_options = together(
    click.option(
        "--trials",
        type=int,
        help="The study's total of trials. [default: 40; no limit under --timeout alone]",
    ),
    click.option(
        "--trainings",
        type=int,
        help="The study's total of trainings, retests included: exactly so many.",
    ),
    click.option(
        "--timeout",
        callback=duration,
        metavar="TIME",
        help="End within this time from now, retests included: 90s, 45m, 8h.",
    ),
    click.option(
        "--sampler", type=click.Choice(SAMPLERS), help="What proposes settings. [default: tpe]"
    ),
    click.option(
        "--pruner", type=click.Choice(PRUNERS), help="What stops weak trials early. [default: none]"
    ),
    click.option(
        "--seed",
        type=int,
        help="Seed of the search; repeats it with one worker. [default: the study file's]",
    ),
    click.option(
        "--retest",
        type=int,
        help="Fresh seeds for the best three and yours at the end; 0: none. [default: 3]",
    ),
    click.option(
        "--retries", type=int, help="Attempts that a trial may lose with its worker. [default: 2]"
    ),
)
training_options = together(
    click.option(
        "--engine",
        type=click.Choice(["auto", "vectorized", "graph", "fit"]),
        default="auto",
        show_default=True,
        help="How trials are trained.",
    ),
    click.option(
        "--trial-timeout",
        callback=duration,
        metavar="TIME",
        help="Take an attempt that runs longer for hung.",
    ),
    click.option(
        "--checkpoints",
        type=click.Path(file_okay=False),
        help="Folder of checkpoints. [default: beside the database]",
    ),
    click.option(
        "--checkpoint-every",
        callback=duration,
        metavar="TIME",
        help="Time between checkpoints. [default: 60s]",
    ),
    click.option(
        "--checkpoint-quota",
        callback=size,
        metavar="SIZE",
        help="Most room for checkpoints: 500M, 20G.",
    ),
    click.option(
        "--accept-change",
        multiple=True,
        metavar="FIELD",
        help="Go on though FIELD of the definition, as the refusal names it, has changed; recorded, and said in the answer.",
    ),
    click.option(
        "--allow-version-drift",
        is_flag=True,
        help="Go on under other Optuna, Keras or TensorFlow versions.",
    ),
)


study_file_option = click.option(
    "--study-file",
    type=click.Path(path_type=Path),
    help="Its file here. [default: the path it was started with]",
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
def start_study(
    study_file: Path,
    *,
    storage: str | None,
    quiet: bool,
    verbose: bool,
    log_file: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search optimizer, peak rate and schedule for the model in STUDY_FILE.

    It ends with the answer.

    A study that exists goes on where it stood, if its definition is the same; --trials is its
    total, so a larger one adds trials. Ctrl-C puts running trials back; a second one leaves at
    once.
    """
    began = time.monotonic()  # --timeout counts from here
    from lrsearch.launch import run_study, watching

    overrides = space_overrides(options)
    with watching(quiet=quiet or as_json, verbose=verbose, log_file=log_file) as listen:
        study = run_study(
            study_file, storage=storage, overrides=overrides, began=began, listen=listen, **options
        )
    if options["create_only"]:
        tell_created(study.name, as_json=as_json)
        return
    tell_answer(study.name, storage, as_json=as_json)


@click.command("attach")
@study_argument
@study_file_option
@click.option(
    "--until",
    type=click.Choice(["done", "idle"]),
    default="done",
    show_default=True,
    help="Leave when the study is done, or already when there is nothing to train now.",
)
@storage_option
@worker_options
@training_options
@output_options
@json_option
def attach(
    study: str, *, quiet: bool, verbose: bool, log_file: str | None, as_json: bool, **options: Any
) -> None:
    """Train trials of STUDY with this machine's workers too.

    It may run elsewhere, or have been stopped.

    Any number of machines may attach and leave at any time; the budget stays exact.
    """
    from lrsearch.launch import attach as attach_workers
    from lrsearch.launch import watching

    with watching(quiet=quiet or as_json, verbose=verbose, log_file=log_file) as listen:
        record = attach_workers(study, listen=listen, **options)
    if as_json:
        echo_json({"study": study, "state": record.state.value})
    else:
        click.echo(f"{study} is {record.state.value}. Its answer: lrsearch best {quote(study)}")
    with existing_study(study, options["storage"]) as (ledger, record):
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
