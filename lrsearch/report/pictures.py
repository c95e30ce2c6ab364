"""Pictures of a study, drawn by matplotlib without a display: value against rate, schedules, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrsearch.answer import Answer
from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.report.words import rate_text, schedule_text
from lrsearch.space import rates
from lrsearch.values import CurvePoint, Direction, Kind, Origin, StudyRecord, TrialRecord, TrialState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 5  # trials in the pictures of schedules and curves
_YOURS, _DIVERGED = "#000000", "#c0392b"
_COLUMNS = 3
_SHOWN_SHARE = 0.9  # of the complete values; the worst are drawn at the frame's edge, or they would flatten the rest
_POINTS = 400  # of a schedule's line


def write_plots(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    curves: Mapping[int, Sequence[CurvePoint]],
    answer: Answer,
    *,
    folder: Path,
) -> list[Path]:
    """Write `rates.png`, `schedules.png` and `curves.png` into `folder`; returns their paths.

    Raises InvalidValue where nothing was trained yet, EnvironmentProblem where matplotlib or the folder is not there.
    """
    figures = {
        "rates": rates_figure(study, records, answer),
        "schedules": schedules_figure(study, records, answer),
        "curves": curves_figure(study, records, curves, answer),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, figure in figures.items():
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1], dpi=150)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write pictures into {folder}: {error.strerror}. Give another folder with -o.") from None
    return paths


def rates_figure(study: StudyRecord, records: Sequence[TrialRecord], answer: Answer) -> Figure:
    """A panel an optimizer: the value of every trial against its peak rate, where it diverges, and yours as a line."""
    groups = _by_optimizer(records, answer)
    if not groups:
        raise InvalidValue("plot", got="a study without a finished trial", allowed="one with some", fix="Let it go on.")
    width = min(_COLUMNS, len(groups))
    height = -(-len(groups) // width)
    figure = _figure(4.2 * width, 3.0 * height + 0.7)
    panels = figure.subplots(height, width, squeeze=False, sharey=True)
    low, high = _frame(study, records)
    for panel, (name, group) in zip(panels.flat, groups.items(), strict=False):
        _rates_panel(panel, name, group, answer, (low, high))
    for panel in list(panels.flat)[len(groups) :]:
        panel.axis("off")
    for row in panels:
        row[0].set_ylabel(study.plan.facts.objective)
    better = "higher" if study.plan.facts.direction is Direction.MAXIMIZE else "lower"
    figure.suptitle(f"{study.name}: {study.plan.facts.objective} ({better} is better) by peak learning rate")
    return figure


def _rates_panel(panel: Axes, name: str, group: Sequence[TrialRecord], answer: Answer, frame: tuple[float, float]) -> None:
    low, high = frame
    done = [each for each in group if each.state is TrialState.COMPLETE and each.value is not None and each.setting]
    wild = [each for each in group if each.state is TrialState.DIVERGED and each.setting]
    xs = [each.setting.learning_rate for each in done if each.setting]
    ys = [min(max(each.value or 0.0, low), high) for each in done]
    panel.scatter(xs, ys, s=28, color="#2471a3", alpha=0.85, label="trial", zorder=3)
    if wild:
        edge = low if answer.direction is Direction.MAXIMIZE else high
        at = [each.setting.learning_rate for each in wild if each.setting]
        panel.scatter(at, [edge] * len(at), marker="x", s=34, color=_DIVERGED, label="diverged", zorder=3, clip_on=False)
    row = next((each for each in answer.by_optimizer if each.optimizer == name), None)
    panel.set_xscale("log")
    if row is not None and row.diverges_from is not None:
        right = max([*xs, *(each.setting.learning_rate for each in wild if each.setting)]) * 1.6
        panel.axvspan(row.diverges_from, right, color=_DIVERGED, alpha=0.12, lw=0, label="diverges from here")
    if answer.best is not None and answer.best.setting.optimizer == name and answer.best.origin is not Origin.YOURS:
        best = answer.best
        value = best.searched if best.searched is not None else 0.0
        panel.scatter(
            [best.setting.learning_rate], [value], s=150, facecolors="none", edgecolors="#1e8449", lw=1.8, label="best", zorder=4
        )
    if answer.yours is not None and answer.yours.searched is not None:
        panel.axhline(min(max(answer.yours.searched, low), high), color=_YOURS, lw=1, ls="--", label="yours", zorder=2)
    pad = 0.06 * (high - low or abs(high) or 1.0)
    panel.set_ylim(low - pad, high + pad)
    panel.set_title(name)
    panel.grid(alpha=0.25)
    panel.set_xlabel("peak learning rate")
    panel.legend(fontsize=7, loc="best")


def schedules_figure(study: StudyRecord, records: Sequence[TrialRecord], answer: Answer) -> Figure:
    """The rate over the run, relative to each peak, of the best trials; the peak is in the legend."""
    del records
    figure = _figure(8, 4.5)
    panel = figure.subplots()
    import numpy as np

    for each in _top(answer):
        if each.setting is None:
            continue
        total = study.plan.facts.total_steps(each.setting.batch_size)
        line = rates(each.setting, total) / each.setting.learning_rate
        shown = np.unique(np.linspace(0, total - 1, min(total, _POINTS)).astype(int))
        panel.plot(shown / max(total - 1, 1), line[shown], lw=1.8, label=_legend(each))
    panel.set_xlabel("part of the run")
    panel.set_ylabel("learning rate / peak")
    panel.set_ylim(-0.03, 1.06)
    panel.grid(alpha=0.25)
    panel.legend(fontsize=8)
    figure.suptitle(f"{study.name}: schedules of the best trials")
    return figure


def curves_figure(
    study: StudyRecord, records: Sequence[TrialRecord], curves: Mapping[int, Sequence[CurvePoint]], answer: Answer
) -> Figure:
    """The objective by epoch: yours and the best trials in colour, the others grey."""
    figure = _figure(8, 4.5)
    panel = figure.subplots()
    top = _top(answer)
    yours = next((each for each in records if each.kind is Kind.SEARCH and each.origin is Origin.YOURS), None)
    named = {each.id for each in top} | ({yours.id} if yours else set())
    for each in records:
        if each.kind is Kind.SEARCH and each.id not in named:
            _curve(panel, curves.get(each.id, ()), color="#888888", alpha=0.25, lw=0.8)
    for each in top:
        _curve(panel, curves.get(each.id, ()), lw=1.8, label=_legend(each))
    if yours is not None:
        _curve(panel, curves.get(yours.id, ()), color=_YOURS, lw=1.6, ls="--", label="yours")
    panel.set_ylim(*_padded(_curve_frame(study, records, curves)))
    panel.set_xlabel("epoch")
    panel.set_ylabel(study.plan.facts.objective)
    panel.grid(alpha=0.25)
    panel.legend(fontsize=8)
    figure.suptitle(f"{study.name}: {study.plan.facts.objective} by epoch")
    return figure


def _curve(panel: Axes, points: Sequence[CurvePoint], **style: Any) -> None:
    known = [(each.epoch, each.value) for each in points if each.value is not None]
    if known:
        panel.plot(*zip(*known, strict=True), marker="o" if len(known) == 1 else "", **style)


def _legend(record: TrialRecord) -> str:
    assert record.setting is not None
    setting = record.setting
    return f"trial {record.number}: {setting.optimizer} {rate_text(setting.learning_rate)}, {schedule_text(setting)}"


def _top(answer: Answer) -> list[TrialRecord]:
    return [each for each in answer.ranked if each.setting is not None and each.origin is not Origin.YOURS][:TOP]


def _by_optimizer(records: Sequence[TrialRecord], answer: Answer) -> dict[str, list[TrialRecord]]:
    """Finished search trials by optimizer, in the order of the answer's table; without yours."""
    groups: dict[str, list[TrialRecord]] = {row.optimizer: [] for row in answer.by_optimizer}
    for each in records:
        if each.kind is Kind.SEARCH and each.origin is not Origin.YOURS and each.setting and each.state.terminal:
            groups.setdefault(each.setting.optimizer, []).append(each)
    return {name: group for name, group in groups.items() if group}


def _frame(study: StudyRecord, records: Sequence[TrialRecord]) -> tuple[float, float]:
    values = [each.value for each in records if each.kind is Kind.SEARCH and each.value is not None]
    return _without_the_worst(values, study.plan.facts.direction)


def _curve_frame(
    study: StudyRecord, records: Sequence[TrialRecord], curves: Mapping[int, Sequence[CurvePoint]]
) -> tuple[float, float]:
    mine = {each.id for each in records if each.kind is Kind.SEARCH}
    values = [point.value for key in mine for point in curves.get(key, ()) if point.value is not None]
    return _without_the_worst(values, study.plan.facts.direction)


def _without_the_worst(values: Sequence[float], direction: Direction) -> tuple[float, float]:
    ordered = sorted(each for each in values if math.isfinite(each))
    if not ordered:
        return 0.0, 1.0
    cut = round(len(ordered) * (1 - _SHOWN_SHARE))
    low = ordered[cut if direction is Direction.MAXIMIZE else 0]
    high = ordered[-1 if direction is Direction.MAXIMIZE else len(ordered) - 1 - cut]
    return low, high


def _padded(frame: tuple[float, float]) -> tuple[float, float]:
    low, high = frame
    pad = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - pad, high + pad


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure as Drawn
    except ModuleNotFoundError:
        raise EnvironmentProblem("pictures need matplotlib: pip install 'lrsearch[plot]'") from None
    return Drawn(figsize=(width, height), layout="constrained")
