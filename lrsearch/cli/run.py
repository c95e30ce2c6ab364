"""Commands that search: write a study file, start a study, attach workers to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrsearch.cli.options import (
    duration,
    echo_json,
    json_option,
    output_options,
    space_options,
    space_overrides,
    storage_option,
    worker_options,
)

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
        raise InvalidValue("FILE", got=str(file), allowed="a file that does not exist yet", fix="Choose another name.")
    if not file.parent.is_dir():
        raise InvalidValue("FILE", got=str(file), allowed="in a folder that exists", fix=f"Create {file.parent} first.")
    file.write_text(STARTER.read_text(encoding="utf-8"), encoding="utf-8")
    click.echo(f"wrote {file}. Put your model and data into it, then: lrsearch start-study {file}")


search_options = (
    click.option("--trials", type=int, help="The study's total of trials. [default: 40, or no limit under --timeout]"),
    click.option("--timeout", callback=duration, metavar="TIME", help="End within this time, retests included: 90s, 45m, 8h."),
    click.option("--sampler", type=click.Choice(["tpe", "random", "qmc", "gp"]), help="[default: tpe]"),
    click.option("--pruner", type=click.Choice(["none", "median", "asha", "hyperband"]), help="[default: none]"),
    click.option("--seed", type=int, help="Seed of the search; the same seed and one worker repeat it. [default: the file's]"),
    click.option(
        "--retest", type=click.IntRange(min=0), help="Fresh seeds that the best three and yours are retested on. [default: 3]"
    ),
    click.option("--retries", type=click.IntRange(min=0), help="Attempts that a trial may lose with its worker. [default: 2]"),
)
trial_options = (
    click.option("--trial-timeout", callback=duration, metavar="TIME", help="Take a trial that runs longer for hung."),
    click.option(
        "--checkpoints", type=click.Path(file_okay=False), help="Folder for checkpoints. [default: beside the database]"
    ),
    click.option("--checkpoint-every", callback=duration, metavar="TIME", help="Seconds between checkpoints. [default: 60s]"),
    click.option("--engine", type=click.Choice(["auto", "fit"]), default="auto", help="How trials are trained. [default: auto]"),
)


def apply(options: tuple[Any, ...]) -> Any:
    """Several options as one decorator, in their order."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
