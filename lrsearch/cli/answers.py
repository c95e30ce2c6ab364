"""Commands that give the answer: best, report, export, plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.cli.completing import complete_search_trial, study_argument
from lrsearch.cli.opening import columns, open_study
from lrsearch.cli.options import echo, storage_option, stored_study_options
from lrsearch.cli.output_files import (
    check_folder,
    check_keras_file,
    output_option,
    refuse_unwritable,
)

if TYPE_CHECKING:
    from lrsearch.answer import Answer
    from lrsearch.values import StudyRecord


@click.command("best")
@click.option(
    "--margin",
    default="1%",
    show_default=True,
    metavar="SIZE",
    help="A difference that counts as equal: 0.5% of yours, or 0.002 of the objective.",
)
@stored_study_options
def best(study: str, *, margin: str, storage: str | None, as_json: bool) -> None:
    """Show the answer of STUDY: whether the best setting beats yours on new data.

    The verdict comes first: better, as good, or undecided. Seeds, the rows of the split
    and the luck of having been chosen are counted.
    """
    from lrsearch.answer import read_margin
    from lrsearch.report.answer_page import answer_text
    from lrsearch.report.reading import read_answer

    equal = read_margin(margin)
    with open_study(study, storage) as (ledger, record):
        answer = read_answer(ledger, record, ledger.trials(record.id), margin=equal)
    echo(answer.to_json(), answer_text(answer, width=columns()), as_json=as_json)


@click.command("export")
@study_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["python", "json", "keras"]),
    default="python",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--trial",
    type=int,
    shell_complete=complete_search_trial,
    help="Export this trial. [default: the best]",
)
@output_option("Write here. [default: the terminal]", required=False)
@click.option(
    "--study-file",
    type=click.Path(path_type=Path),
    help="Its file, for keras. [default: the path it was started with]",
)
@storage_option
def export(
    study: str,
    *,
    form: str,
    trial: int | None,
    output: Path | None,
    study_file: Path | None,
    storage: str | None,
) -> None:
    """Print the best setting of STUDY as Python, JSON or .keras.

    The Python stands beside model.compile.

    The Python needs Keras alone: make_optimizer(model=None) and the constants of the
    run. Yours is exported with your own optimizer and schedule; where these cannot be
    written as code, the command says why and exits with 1. The .keras file has the
    untrained model with its optimizer and schedule; import lrsearch.keras before you
    load the file.
    """
    from lrsearch.answer import summarise
    from lrsearch.report.exporting import export_text

    if form == "keras":
        check_keras_file(output)
    if output is not None:
        check_folder(output)
    with open_study(study, storage) as (ledger, record):
        answer = summarise(record, ledger.trials(record.id))
    if form == "keras" and output is not None:
        _write_keras(record, answer, trial, output, study_file)
        return
    text = export_text(record, answer, form=form, trial=trial)
    if output is None:
        click.echo(text)
    else:
        with refuse_unwritable(output):
            output.write_text(text + "\n", encoding="utf-8")
        click.echo(f"wrote {output}", err=True)


def _write_keras(
    record: StudyRecord,
    answer: Answer,
    trial: int | None,
    output: Path,
    study_file: Path | None,
) -> None:
    from lrsearch.launch.common_steps import find_file
    from lrsearch.report.exporting import choose, search_seed
    from lrsearch.worker.export import export_model

    chosen = choose(answer, trial)
    export_model(
        record,
        chosen.setting,
        study_file=find_file(record, study_file),
        output=output,
        seed=search_seed(answer, chosen) or 0,
        yours=chosen.is_yours,
    )
    click.echo(
        f"wrote {output}: untrained and compiled; `import lrsearch.keras` before loading it.",
        err=True,
    )


@click.command("report")
@output_option("The HTML file to write.")
@stored_study_options
def report(study: str, *, output: Path, storage: str | None, as_json: bool) -> None:
    """Write all that is known of STUDY as one HTML page that needs no network.

    The verdict, value against rate, schedules, curves, the trials, what was stopped,
    the cost, and the code to train it again. It is for any browser, for print, and for
    a mail.
    """
    from lrsearch.report.html.gathering import gather
    from lrsearch.report.html.page import report_file, write_page

    with open_study(study, storage) as (ledger, record):
        data = gather(ledger, record, ledger.trials(record.id))
    write_page(report_file(data), output)
    echo(str(output), f"wrote {output}", as_json=as_json)


@click.command("plot")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the pictures.",
)
@stored_study_options
def plot(study: str, *, output: Path, storage: str | None, as_json: bool) -> None:
    """Draw STUDY as PNG and SVG files.

    Value against rate with the regions that crawl and diverge, schedules, learning
    curves, the best after k trials, optimizer by shape.
    """
    from lrsearch.answer import summarise
    from lrsearch.report.pictures import write_plots

    with open_study(study, storage) as (ledger, record):
        records = ledger.trials(record.id)
        answer = summarise(record, records)
        written = write_plots(
            record, records, ledger.curves(record.id), answer, folder=output
        )
    paths = [str(path) for path in written]
    echo(paths, "\n".join(f"wrote {path}" for path in paths), as_json=as_json)
