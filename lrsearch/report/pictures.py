"""Pictures of a study, drawn by matplotlib without a display: value against rate, schedules, curves."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lrsearch.answer import Answer, OptimizerRow, yours_of
from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.report.words import rate_text, schedule_text
from lrsearch.space import rates
from lrsearch.values import CurvePoint, Direction, Kind, Origin, StudyRecord, TrialRecord, TrialState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 5  # trials in the pictures of schedules and curves
_YOURS, _BEST, _TRIAL, _DIVERGED, _CRAWLS = "#000000", "#1e8449", "#2471a3", "#c0392b", "#7f8c8d"
_AS_IT_IS: Final[dict[str, Any]] = {"parse_math": False}  # names are the user's: a dollar in one begins no formula
_LEGEND = ("trial", "worse than shown", "diverged", "best", "yours", "crawls", "diverges")  # in this order
_ROOM = 1.6  # times the outermost rates: where the axis ends
_LEAST_SPAN = 15.0  # times the middle on either side, or a single trial would have an axis without a second number
_BESIDE = 1.15  # a region ends this factor beside its outermost trial, so that the trial's mark lies inside
_COLUMNS = 3
_SHOWN_SHARE = 0.8  # of the complete values; the worst are drawn at the frame's edge, or they would flatten the rest
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
        raise EnvironmentProblem(
            f"cannot write pictures into {folder}: {error.strerror}.", fix="Give another folder with -o."
        ) from None
    return paths


def rates_figure(study: StudyRecord, records: Sequence[TrialRecord], answer: Answer) -> Figure:
    """A panel an optimizer: every trial's value against its peak rate, where it crawls, where it diverges; yours as a line."""
    groups = _by_optimizer(records, answer)
    if not groups:
        raise InvalidValue("plot", got="a study without a finished trial", allowed="one with some", fix="Let it go on.")
    width = min(_COLUMNS, len(groups))
    height = -(-len(groups) // width)
    figure = _figure(4.2 * width, 3.1 * height + 1.1)
    panels = figure.subplots(height, width, squeeze=False, sharey=True)
    low, high = _frame(study, records)
    for panel, (name, group) in zip(panels.flat, groups.items(), strict=False):
        _rates_panel(panel, name, group, answer, (low, high))
    for panel in list(panels.flat)[len(groups) :]:
        panel.axis("off")
    for row in panels:
        row[0].set_ylabel(study.plan.facts.objective, **_AS_IT_IS)
    better = "higher" if study.plan.facts.direction is Direction.MAXIMIZE else "lower"
    figure.suptitle(f"{study.name}: {study.plan.facts.objective} ({better} is better) by peak learning rate", **_AS_IT_IS)
    _one_legend(figure, panels.flat)
    return figure


def _rates_panel(panel: Axes, name: str, group: Sequence[TrialRecord], answer: Answer, frame: tuple[float, float]) -> None:
    row = next((each for each in answer.by_optimizer if each.optimizer == name), None)
    panel.set_xscale("log")
    rates_seen = [each.setting.learning_rate for each in group if each.setting]
    middle = math.sqrt(min(rates_seen) * max(rates_seen))
    span = max(max(rates_seen) / middle * _ROOM, _LEAST_SPAN)
    panel.set_xlim(middle / span, middle * span)
    panel.set_ylim(*_padded(frame))
    if row is not None:
        _regions(panel, row)
    _points(panel, group, answer.direction, frame)
    if answer.yours is not None and answer.yours.searched is not None:
        panel.axhline(_within(answer.yours.searched, frame), color=_YOURS, lw=1, ls="--", label="yours", zorder=2)
    if answer.best is not None and answer.best.setting.optimizer == name and answer.best.origin is not Origin.YOURS:
        at = answer.best.setting.learning_rate, _within(answer.best.searched or 0.0, frame)
        panel.scatter(*at, s=170, facecolors="none", edgecolors=_BEST, lw=2, label="best", zorder=4, clip_on=False)
    panel.grid(alpha=0.25)
    panel.set_xlabel("peak learning rate")


def _regions(panel: Axes, row: OptimizerRow) -> None:
    """Shade where training crawls and where it diverges, and say from which rate on."""
    said = []
    if row.crawls_to is not None:
        panel.axvspan(panel.get_xlim()[0], row.crawls_to * _BESIDE, color=_CRAWLS, alpha=0.16, lw=0, label="crawls")
        said.append(f"crawls up to {rate_text(row.crawls_to)}")
    if row.diverges_from is not None:
        panel.axvspan(row.diverges_from / _BESIDE, panel.get_xlim()[1], color=_DIVERGED, alpha=0.13, lw=0, label="diverges")
        said.append(f"diverges from {rate_text(row.diverges_from)}")
    panel.set_title(row.optimizer, loc="left", fontweight="bold")
    panel.set_title(", ".join(said), loc="right", fontsize=8, color="#555555")


def _points(panel: Axes, group: Sequence[TrialRecord], direction: Direction, frame: tuple[float, float]) -> None:
    """Values inside the frame as dots, worse ones as arrows at its edge, diverged ones as crosses there."""
    up = direction is Direction.MAXIMIZE
    edge = _padded(frame)[0 if up else 1]
    done = [(each.setting.learning_rate, each.value) for each in group if _has_value(each) and each.setting]
    inside = [(rate, value) for rate, value in done if value is not None and _within(value, frame) == value]
    worse = [(rate, edge) for rate, value in done if value is not None and _within(value, frame) != value]
    wild = [(each.setting.learning_rate, edge) for each in group if each.state is TrialState.DIVERGED and each.setting]
    styles: tuple[tuple[list[tuple[float, float]], dict[str, Any]], ...] = (
        (inside, {"marker": "o", "s": 28, "color": _TRIAL, "alpha": 0.85, "label": "trial"}),
        (worse, {"marker": "v" if up else "^", "s": 34, "color": _TRIAL, "alpha": 0.85, "label": "worse than shown"}),
        (wild, {"marker": "x", "s": 38, "color": _DIVERGED, "label": "diverged"}),
    )
    for points, style in styles:
        if points:
            panel.scatter(*zip(*points, strict=True), zorder=3, clip_on=False, **style)


def _one_legend(figure: Figure, panels: Iterable[Axes], *, columns: int | None = None) -> None:
    """One legend for all panels, below them: inside they would lie on trials. `columns` by default one a label."""
    found: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        found |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in found}
    ordered = sorted(found, key=lambda label: _LEGEND.index(label) if label in _LEGEND else -1)
    handles = [found[label] for label in ordered]
    figure.legend(handles, ordered, loc="outside lower center", ncols=columns or len(ordered), fontsize=8.5, frameon=False)


def _has_value(record: TrialRecord) -> bool:
    return record.state is TrialState.COMPLETE and record.value is not None


def _within(value: float, frame: tuple[float, float]) -> float:
    return min(max(value, frame[0]), frame[1])


def schedules_figure(study: StudyRecord, records: Sequence[TrialRecord], answer: Answer) -> Figure:
    """The rate over the run, relative to each peak, of the best trials; the peak is in the legend."""
    del records
    figure = _figure(8, 5.2)
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
    _one_legend(figure, [panel], columns=2)
    figure.suptitle(f"{study.name}: schedules of the best trials", **_AS_IT_IS)
    return figure


def curves_figure(
    study: StudyRecord, records: Sequence[TrialRecord], curves: Mapping[int, Sequence[CurvePoint]], answer: Answer
) -> Figure:
    """The objective by epoch: yours and the best trials in colour, the others grey."""
    figure = _figure(8, 5.2)
    panel = figure.subplots()
    top = _top(answer)
    yours = yours_of(records)
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
    panel.set_ylabel(study.plan.facts.objective, **_AS_IT_IS)
    panel.grid(alpha=0.25)
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    _one_legend(figure, [panel], columns=2)
    figure.suptitle(f"{study.name}: {study.plan.facts.objective} by epoch", **_AS_IT_IS)
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
    """The best, as the answer has it, then the best single trainings; without yours."""
    best = answer.best.trial if answer.best else None
    searched = [each for each in answer.ranked if each.setting is not None and each.origin is not Origin.YOURS]
    return sorted(searched, key=lambda each: each.number != best)[:TOP]


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
        raise EnvironmentProblem("pictures need matplotlib:", fix="pip install 'lrsearch[plot]'") from None

    class Shown(Drawn):
        """A figure that a notebook shows although pyplot, which teaches it to, was never imported."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    return Shown(figsize=(width, height), layout="constrained")
