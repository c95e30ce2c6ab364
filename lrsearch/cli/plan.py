"""The command `plan`: the bill before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrsearch.cli.opening import columns
from lrsearch.cli.options import echo, json_option, study_options, take_options


@click.command("plan")
@study_options
@json_option
def plan(study_file: Path, *, as_json: bool, **options: Any) -> None:
    """Estimate what a search of STUDY_FILE would cost: trainings, time, when it is done.

    Takes the options of start-study.

    A few steps are trained to time them, and nothing is stored. For a study that
    exists, the command estimates the rest.
    """
    from lrsearch.launch.estimating import plan_study
    from lrsearch.report.bill import bill_text, plan_text
    from lrsearch.report.layout import paragraph

    planned = plan_study(study_file, *take_options(options))
    data = planned.to_json()
    lines = [bill_text(planned.bill, planned.at), *plan_text(data).splitlines()]
    text = "\n".join(paragraph(each, columns(), hang="  ") for each in lines)
    echo(data, text, as_json=as_json)
