"""The command that says the bill before anything is trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from lrsearch.cli.options import (
    echo_json,
    json_option,
    space_options,
    space_overrides,
    storage_option,
    worker_options,
)
from lrsearch.cli.run import search_options, training_options

_SLOTS = ("devices", "workers", "threads", "per_device")
_SEARCH = (
    "trials", "trainings", "timeout", "sampler", "pruner", "seed", "retest", "retries", "allow_version_drift", "accept_change",
)  # fmt: skip


@click.command("plan")
@click.argument("study_file", type=click.Path(path_type=Path))
@click.option("--name", help="The study's name. [default: the file's, without .py]")
@storage_option
@search_options
@space_options
@worker_options
@training_options
@json_option
def plan(
    study_file: Path,
    *,
    name: str | None,
    storage: str | None,
    engine: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what a search of STUDY_FILE would cost: trainings, time, when it is done.

    Takes the options of start-study.

    A few steps are trained to time them, and nothing is stored. Of a study that exists it says what
    is left.
    """
    from lrsearch.launch import plan_study
    from lrsearch.launch.request import Request
    from lrsearch.launch.slots import SlotRequest
    from lrsearch.report.bill import bill_text, plan_text

    began, overrides = time.monotonic(), space_overrides(options)
    request = Request(**{each: options[each] for each in _SEARCH}, overrides=overrides, began=began)
    asked = SlotRequest(**{each: options[each] for each in _SLOTS})
    planned = plan_study(study_file, request, asked, name=name, storage=storage, engine=engine)
    if as_json:
        echo_json(planned.to_json())
        return
    click.echo(bill_text(planned.bill, planned.at))
    click.echo(plan_text(planned.to_json()))
