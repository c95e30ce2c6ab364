"""The picture of curves: the objective by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lrsearch.answer import Answer, find_yours
from lrsearch.report.canvas import LINES, YOURS, finish, new_figure, set_ylabel
from lrsearch.report.picture_parts import (
    HEIGHT,
    best_trials,
    frame_of,
    legend_text,
    pad_frame,
)
from lrsearch.values import CurvePoint, StudyRecord, Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CURVE_WIDTH = 1.7  # points: curves cross too often for the schedules' wide lines


def curves_figure(
    study: StudyRecord,
    records: Trials,
    curves: Mapping[int, Sequence[CurvePoint]],
    answer: Answer,
) -> Figure:
    """The objective by epoch: yours and the best trials in colour, the others grey."""
    figure = new_figure(8, HEIGHT)
    panel = figure.subplots()
    top = best_trials(answer)
    yours = find_yours(records)
    named = {each.id for each in top} | ({yours.id} if yours else set())
    others = [
        each
        for each in records
        if each.is_search and each.id not in named and curves.get(each.id)
    ]
    for place, each in enumerate(others):
        # one line in the legend: it hides "_..."
        label = "_" * bool(place) + "other trials"
        _curve(panel, curves[each.id], color="#888888", alpha=0.35, lw=0.8, label=label)
    for each, style in zip(top, LINES, strict=False):
        thin = {**style, "lw": _CURVE_WIDTH}
        _curve(panel, curves.get(each.id, ()), label=legend_text(each, answer), **thin)
    if yours is not None and yours.setting is not None:
        ended = f" ({yours.state.value})" if not yours.complete else ""
        _curve(
            panel,
            curves.get(yours.id, ()),
            label=legend_text(yours, answer) + ended,
            **YOURS,
        )
    mine = [each.id for each in records if each.is_search]
    points = (point for key in mine for point in curves.get(key, ()))
    frame = frame_of(
        [each.value for each in points if each.value is not None], study.direction
    )
    panel.set_ylim(*pad_frame(frame))
    if frame is None:
        panel.set_yticks([])
        panel.set_xlim(0.5, study.facts.epochs + 0.5)
        words: dict[str, Any] = {
            "transform": panel.transAxes,
            "ha": "center",
            "color": "#444444",
        }
        panel.text(0.5, 0.5, "no epoch has a value", **words)
    panel.set_xlabel("epoch")
    set_ylabel(figure, panel, study.facts.objective, height=HEIGHT)
    panel.grid(alpha=0.25)
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    finish(
        figure,
        f"{study.name}: {study.facts.objective} by epoch",
        order=("other trials",),
    )
    return figure


def _curve(panel: Axes, points: Sequence[CurvePoint], **style: Any) -> None:
    known = [(each.epoch, each.value) for each in points if each.value is not None]
    where = zip(*known, strict=True) if known else ([], [])
    panel.plot(*where, marker="o" if len(known) == 1 else "", **style)
