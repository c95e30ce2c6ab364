"""Commands that hand a study on: archive, verify."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.choices import CHOICES
from lrsearch.cli.opening import columns, open_study
from lrsearch.cli.options import (
    count_option,
    echo,
    json_option,
    stored_study_options,
    study_file_option,
)
from lrsearch.cli.output_files import check_folder, output_option, refuse_unwritable

if TYPE_CHECKING:
    from lrsearch.report.archive import StudyHistory
    from lrsearch.storage import Ledger
    from lrsearch.values import StudyRecord, TrialRecord


@click.command("archive")
@output_option("The zip to write.")
@study_file_option
@stored_study_options
def archive(
    study: str,
    *,
    output: Path,
    study_file: Path | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Write STUDY as one zip: definition, versions, hardware, trials, curves and seeds.

    All but the definition is there as CSV and as JSON. README.txt in it names the
    files. The data that the study trains on are not in it.
    """
    from lrsearch.report.archive import archive_files, write_archive

    check_folder(output)
    with open_study(study, storage) as (ledger, record):
        sources, why = _sources(record, study_file)
        files = archive_files(_history(ledger, record), sources)
    with refuse_unwritable(output):
        write_archive(output, files)
    data = {
        "study": study,
        "path": str(output),
        "files": sorted(files),
        "definition": not why,
    }
    missing = f" Without its definition: {why}" if why else ""
    echo(data, f"wrote {output}: {len(files)} files.{missing}", as_json=as_json)


def _history(ledger: Ledger, record: StudyRecord) -> StudyHistory:
    from lrsearch.report.archive import StudyHistory

    return StudyHistory(
        study=record,
        trials=ledger.trials(record.id),
        curves=ledger.curves(record.id),
        attempts=ledger.attempts_by_trial(record.id),
        workers=ledger.workers(record.id),
        calibrations=ledger.calibrations(record.id),
        row_scores=ledger.row_scores(record.id),
    )


def _sources(record: StudyRecord, given: Path | None) -> tuple[dict[str, str], str]:
    """The definition's texts, or why they are missing; a file that is given must be the study's."""
    from lrsearch.errors import StudyFileError
    from lrsearch.launch.common_steps import find_file
    from lrsearch.worker.definition_files import read_definition

    try:
        path = find_file(record, given)
    except StudyFileError as error:
        if given is not None:
            raise
        return {}, str(error)
    return read_definition(record, path), ""


@click.command("verify")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@count_option(
    "--trials",
    default=3,
    show_default=True,
    metavar="N",
    help="Train so many again: the best, yours, others evenly over the ranking.",
)
@click.option(
    "--engine",
    type=click.Choice(CHOICES["engine"]),
    default="graph",
    show_default=True,
    help="How they train.",
)
@click.option(
    "--study-file",
    type=click.Path(path_type=Path),
    help="Train by this file. [default: the archived one, which runs in an empty folder]",
)
@json_option
def verify(
    archive: Path, *, trials: int, engine: str, study_file: Path | None, as_json: bool
) -> None:
    """Train some trials of an ARCHIVE again, under their seeds, and compare.

    Runs the archived study file: verify archives of people you trust. Leaves with 1
    where a result differs by more than the study's seeds do.
    """
    from lrsearch.launch.verifying import verify as train_again
    from lrsearch.report.verification_page import verification_text

    def say(record: TrialRecord) -> None:
        click.echo(f"training {record.label} again", err=True)

    with redirect_stdout(sys.stderr):  # what the study file prints
        found = train_again(
            archive, trials=trials, engine=engine, study_file=study_file, begins=say
        )
    text = verification_text(
        found.study, found.repetitions, found.other_versions, width=columns()
    )
    echo(found.to_json(), text, as_json=as_json)
    if not found.holds:
        raise click.exceptions.Exit(1)
