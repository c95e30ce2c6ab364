"""Commands that train the answer once more: train, replay."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.completing import complete_search_trial
from lrsearch.cli.opening import open_study
from lrsearch.cli.options import (
    count_option,
    echo,
    json_option,
    stored_study_options,
    study_file_option,
)
from lrsearch.cli.output_files import check_model_file, output_option

if TYPE_CHECKING:
    from lrsearch.report.recipe import Recipe
    from lrsearch.values import Progress

_EVERY_SECONDS = 5.0  # a line of progress

_output = output_option(
    "The .keras file to write, or the .weights.h5 file of the weights alone."
)
_epochs = count_option(
    "--epochs",
    metavar="N",
    help="Train so long; the schedule stretches with it. [default: the study's]",
)


@click.command("train")
@_output
@click.option(
    "--trial",
    type=int,
    shell_complete=complete_search_trial,
    help="Train this trial's setting. [default: the best]",
)
@_epochs
@study_file_option
@stored_study_options
def train(
    study: str,
    *,
    output: Path,
    trial: int | None,
    epochs: int | None,
    study_file: Path | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Train the best setting of STUDY once more, on a fresh seed, and save the model.

    It says whether the value lies in the interval that the retests gave. Keras alone
    loads the file: it holds no schedule of ours.
    """
    from lrsearch.answer import summarise
    from lrsearch.report.exporting import choose
    from lrsearch.report.recipe import recipe_of

    check_model_file(output)
    with open_study(study, storage) as (ledger, record):
        answer = summarise(record, ledger.trials(record.id))
    recipe = recipe_of(record, choose(answer, trial))
    _train(recipe, output, epochs, study_file, as_json=as_json)


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_output
@_epochs
@study_file_option
@json_option
def replay(
    file: Path,
    *,
    output: Path,
    epochs: int | None,
    study_file: Path | None,
    as_json: bool,
) -> None:
    """Train the setting in an exported FILE once more, and save the model.

    FILE comes from `lrsearch export --format json`. No database is needed, but the
    study's file is: it must be the one that was searched.
    """
    from lrsearch.report.recipe import read_recipe

    check_model_file(output)
    _train(read_recipe(file), output, epochs, study_file, as_json=as_json)


def _train(
    recipe: Recipe,
    output: Path,
    epochs: int | None,
    study_file: Path | None,
    *,
    as_json: bool,
) -> None:
    from lrsearch.launch.common_steps import find_file
    from lrsearch.report.final_page import final_data, final_text
    from lrsearch.worker.final_training import train_finally

    with redirect_stdout(sys.stderr):  # what the study file prints
        outcome, problem, seed = train_finally(
            recipe.study,
            recipe.setting,
            trial=recipe.trial,
            yours=recipe.yours,
            study_file=find_file(recipe.study, study_file),
            output=output,
            epochs=epochs,
            listen=_reporter(recipe.study.facts.objective),
        )
    if outcome.left:
        raise KeyboardInterrupt
    data = final_data(
        recipe, outcome, seed=seed, epochs=epochs, problem=problem, output=output
    )
    _check_end(outcome, recipe)
    echo(data, final_text(recipe, data), as_json=as_json)


def _check_end(outcome: Any, recipe: Recipe) -> None:
    """Raise StudyBroken where the training gave no model."""
    from lrsearch.errors import StudyBroken
    from lrsearch.values import Status

    if outcome.status is not Status.COMPLETE:
        text = f"the training of trial {recipe.trial} {outcome.status.value}: {outcome.reason}"
        fix = "Nothing was written. Mend the study file, or choose another trial's setting."
        raise StudyBroken(text, fix=fix, traceback_text=outcome.traceback_text)


def _reporter(objective: str) -> Callable[[Progress], None]:
    """Says now and then how far the training is."""
    told = time.monotonic()

    def say(progress: Progress) -> None:
        nonlocal told
        if progress.logs and time.monotonic() - told > _EVERY_SECONDS:
            told = time.monotonic()
            value = progress.logs.get(objective)
            shown = f": {objective} {value:.4g}" if value is not None else ""
            click.echo(f"epoch {progress.epoch} of {progress.epochs}{shown}", err=True)

    return say
