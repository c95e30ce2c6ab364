"""Writes a study's pictures, drawn by matplotlib without a display."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.answer import Answer
from lrsearch.errors import EnvironmentProblem
from lrsearch.report.curves_picture import curves_figure
from lrsearch.report.picture_parts import best_by_shape
from lrsearch.report.progress_picture import progress_figure
from lrsearch.report.rates_picture import rates_figure
from lrsearch.report.schedules_picture import schedules_figure
from lrsearch.report.shapes_picture import shapes_figure
from lrsearch.values import CurvePoint, StudyRecord, Trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
_NO_DATE: Mapping[str, dict[str, str | None]] = {
    "png": {},
    "svg": {"Date": None},
}  # else never twice alike


def write_plots(
    study: StudyRecord,
    records: Trials,
    curves: Mapping[int, Sequence[CurvePoint]],
    answer: Answer,
    *,
    folder: Path,
) -> list[Path]:
    """Write each picture into `folder` as PNG and as SVG; returns their paths.

    Raises InvalidValue where nothing was trained yet, EnvironmentProblem where
    matplotlib or the folder is not there.
    """
    figures = {
        "rates": rates_figure(study, records, answer),
        "schedules": schedules_figure(study, records, curves, answer),
        "curves": curves_figure(study, records, curves, answer),
    }
    if answer.ranked:
        figures["progress"] = progress_figure(study, records, answer)
    if best_by_shape(study, answer):
        figures["shapes"] = shapes_figure(study, answer)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            path
            for name, figure in figures.items()
            for path in _write(figure, folder / name)
        ]
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write pictures into {folder}: {error.strerror}.",
            fix="Give another folder with -o.",
        ) from None


def _write(figure: Figure, stem: Path) -> Iterator[Path]:
    from matplotlib import rc_context

    for form in FORMATS:
        path = stem.with_name(f"{stem.name}.{form}")
        # Without a salt and with a date, an SVG would be another at every drawing.
        with rc_context({"svg.hashsalt": "lrsearch"}):
            figure.savefig(path, dpi=150, metadata=_NO_DATE[form])
        # The panels stay where the first file has them: a layout is a third of a file's
        # time.
        figure.set_layout_engine("none")
        yield path
