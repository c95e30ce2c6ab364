"""The picture of schedules: the rate over the run, relative to its peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lrsearch.answer import Answer, find_yours
from lrsearch.report.canvas import LINES, YOURS, finish, new_figure
from lrsearch.report.picture_parts import HEIGHT, best_trials, legend_text
from lrsearch.report.yours_schedule import yours_schedule
from lrsearch.space import rates
from lrsearch.values import CurvePoint, StudyRecord, TrialRecord, Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 400  # of a schedule's line


def schedules_figure(
    study: StudyRecord,
    records: Trials,
    curves: Mapping[int, Sequence[CurvePoint]],
    answer: Answer,
) -> Figure:
    """The rate over the run, relative to each peak, of the best trials and yours.

    The legend says the peaks.
    """
    figure = new_figure(8, HEIGHT)
    panel = figure.subplots()
    for each, style in zip(best_trials(answer), LINES, strict=False):
        _schedule(panel, study, each, label=legend_text(each, answer), **style)
    yours = find_yours(records)
    if yours is not None and yours.setting is not None:
        _yours_schedule(
            panel, study, legend_text(yours, answer), curves.get(yours.id, ())
        )
    panel.set_xlabel("part of the run")
    panel.set_ylabel("learning rate / peak")
    panel.set_xlim(-0.03, 1.03)
    panel.set_ylim(-0.03, 1.06)
    panel.grid(alpha=0.25)
    finish(figure, f"{study.name}: schedules of the best trials and yours")
    return figure


def _schedule(
    panel: Axes, study: StudyRecord, record: TrialRecord, **style: Any
) -> None:
    import numpy as np

    assert record.setting is not None  # the best have one
    total = study.facts.total_steps(record.setting.batch_size)
    line = rates(record.setting, total) / record.setting.learning_rate
    shown = np.unique(np.linspace(0, total - 1, min(total, _POINTS)).astype(int))
    panel.plot(
        shown / max(total - 1, 1),
        line[shown],
        marker="o" if total == 1 else "",
        **style,
    )


def _yours_schedule(
    panel: Axes, study: StudyRecord, label: str, curve: Sequence[CurvePoint]
) -> None:
    known = yours_schedule(study.facts, curve)
    if known is None:
        panel.plot(
            [], [], label=f"{label} (its rate over the run is not known)", **YOURS
        )
        return
    how = " (rates at epochs' ends)" if known.by_epoch else ""
    mark: dict[str, Any] = {"marker": "o", "ms": 4} if known.by_epoch else {}
    line = [rate / known.peak for rate in known.rates]
    panel.plot(known.parts, line, label=label + how, **YOURS, **mark)
