"""Writes a study's pictures, drawn by matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lrsearch.answer import Answer
from lrsearch.errors import EnvironmentProblem
from lrsearch.report.curves_picture import curves_figure
from lrsearch.report.rates_picture import rates_figure
from lrsearch.report.schedules_picture import schedules_figure
from lrsearch.values import CurvePoint, StudyRecord, Trials


def write_plots(
    study: StudyRecord,
    records: Trials,
    curves: Mapping[int, Sequence[CurvePoint]],
    answer: Answer,
    *,
    folder: Path,
) -> list[Path]:
    """Write `rates.png`, `schedules.png` and `curves.png` into `folder`; returns their paths.

    Raises InvalidValue where nothing was trained yet, EnvironmentProblem where matplotlib or the
    folder is not there.
    """
    figures = {
        "rates": rates_figure(study, records, answer),
        "schedules": schedules_figure(study, records, curves, answer),
        "curves": curves_figure(study, records, curves, answer),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, figure in figures.items():
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1], dpi=150)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write pictures into {folder}: {error.strerror}.",
            fix="Give another folder with -o.",
        ) from None
    return paths
