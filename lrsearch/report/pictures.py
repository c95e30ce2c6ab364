"""Pictures of a study, drawn by matplotlib without a display: value against rate, schedules,
curves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrsearch.answer import Answer, OptimizerRow, yours_of
from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.report.canvas import (
    BLACK,
    BLUE,
    GREY,
    LINES,
    VERMILION,
    YOURS,
    finish,
    fit_text,
    new_figure,
    set_ylabel,
)
from lrsearch.report.words import range_text, rate_text, schedule_text
from lrsearch.report.yours_schedule import yours_schedule
from lrsearch.space import rates
from lrsearch.values import (
    CurvePoint,
    Direction,
    StudyRecord,
    TrialRecord,
    TrialState,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = len(LINES)  # trials in the pictures of schedules and curves
# in this order
_LEGEND = ("trial", "worse than shown", "diverged", "pruned", "best", "yours", "crawls", "diverges")
_ROOM = 1.6  # times the outermost rates: where the axis ends
# times the middle on either side, or a single trial would have an axis without a second number
_LEAST_SPAN = 15.0
_COLUMNS = 3
# of the complete values; the worst are drawn at the frame's edge, or they would flatten the rest
_SHOWN_SHARE = 0.8
_PANEL_HEIGHT, _HEIGHT = 3.4, 4.4  # inches, of a panel of rates, and of the one panel of the others
_POINTS = 400  # of a schedule's line
_SMALL = 7.5  # points
_PANEL_SHARE = 0.82  # of its column is a panel's own width; the rest is the numbers' of its axis
_CURVE_WIDTH = 1.7  # points: curves cross too often for the schedules' wide lines


def write_plots(
    study: StudyRecord,
    records: Sequence[TrialRecord],
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


def rates_figure(study: StudyRecord, records: Sequence[TrialRecord], answer: Answer) -> Figure:
    """A panel an optimizer: every trial's value against its peak rate, where it crawls, where it
    diverges; yours as a line.
    """
    groups = _by_optimizer(records, answer)
    if not groups:
        raise InvalidValue(
            "plot",
            got="a study without a finished trial",
            allowed="one with some",
            fix="Let it go on.",
        )
    width = min(_COLUMNS, len(groups))
    height = -(-len(groups) // width)
    figure = new_figure(max(5.6, 4.2 * width), _PANEL_HEIGHT * height)
    panels = figure.subplots(height, width, squeeze=False, sharey=True)
    frame = _frame(study, records)
    for panel, (name, group) in zip(panels.flat, groups.items(), strict=False):
        said = _rates_panel(panel, name, group, answer, frame)
        _head(
            figure,
            panel,
            name,
            said,
            room=_PANEL_SHARE * figure.get_figwidth() * figure.dpi / width,
        )
    for panel in list(panels.flat)[len(groups) :]:
        panel.axis("off")
    for row in panels:
        set_ylabel(figure, row[0], study.facts.objective, height=_PANEL_HEIGHT)
    better = "higher" if study.direction is Direction.MAXIMIZE else "lower"
    title = f"{study.name}: {study.facts.objective} ({better} is better) by peak learning rate"
    finish(figure, title, order=_LEGEND)
    return figure


def _rates_panel(
    panel: Axes,
    name: str,
    group: Sequence[TrialRecord],
    answer: Answer,
    frame: tuple[float, float] | None,
) -> str:
    """Draw a panel; returns what its regions say."""
    row = next((each for each in answer.by_optimizer if each.optimizer == name), None)
    panel.set_xscale("log")
    panel.set_xlim(*_span(name, group, answer))
    panel.set_ylim(*_padded(frame))
    if frame is None:
        panel.set_yticks([])
    said = _regions(panel, row) if row is not None else ""
    _points(panel, group, answer.direction, frame)
    yours, best = answer.yours, answer.best
    if frame is not None and yours is not None and yours.searched is not None:
        at = _within(yours.searched, frame)
        panel.axhline(at, color=BLACK, lw=1, ls="--", label="yours", zorder=2)
        if yours.setting.optimizer == name and yours.setting.learning_rate > 0:
            panel.scatter(
                yours.setting.learning_rate,
                at,
                marker="D",
                s=30,
                color=BLACK,
                zorder=3,
                clip_on=False,
            )
    if frame is not None and best is not None and best.setting.optimizer == name:
        spot = best.setting.learning_rate, _within(best.searched or 0.0, frame)
        panel.scatter(
            *spot,
            s=170,
            facecolors="none",
            edgecolors=BLACK,
            lw=1.8,
            label="best",
            zorder=4,
            clip_on=False,
        )
    panel.grid(alpha=0.25)
    panel.set_xlabel("peak learning rate")
    return said


def _span(name: str, group: Sequence[TrialRecord], answer: Answer) -> tuple[float, float]:
    """The ends of a panel's axis of rates."""
    seen = [each.setting.learning_rate for each in group if each.setting]
    if (
        answer.yours is not None
        and answer.yours.setting.optimizer == name
        and answer.yours.setting.learning_rate > 0
    ):
        seen.append(answer.yours.setting.learning_rate)
    middle = math.sqrt(min(seen) * max(seen))
    span = max(max(seen) / middle * _ROOM, _LEAST_SPAN)
    return middle / span, middle * span


def _regions(panel: Axes, row: OptimizerRow) -> str:
    """Shade where training crawls and where it diverges, and say so: from the table's row, to its
    very rates.
    """
    said = []
    if row.crawls_to is not None:
        panel.axvspan(
            panel.get_xlim()[0], row.crawls_to, color=GREY, alpha=0.2, lw=0, label="crawls"
        )
        said.append(f"crawls up to {rate_text(row.crawls_to)}")
    if row.good_rates is not None:
        said.append(f"as good at {range_text(row.good_rates)}")
    if row.diverges_from is not None:
        style: dict[str, Any] = {
            "facecolor": "#f6d5c3",
            "edgecolor": "#e5b79c",
            "hatch": "///",
            "lw": 0,
        }
        panel.axvspan(row.diverges_from, panel.get_xlim()[1], label="diverges", zorder=0.5, **style)
        said.append(f"diverges from {rate_text(row.diverges_from)}")
    return ", ".join(said)


def _head(figure: Figure, panel: Axes, name: str, said: str, *, room: float) -> None:
    """A panel's name, and what is said of it in small print below the name, in `room` pixels."""
    text = fit_text(figure, said, size=_SMALL, room=room)
    panel.set_title(name, loc="left", fontweight="bold", pad=8 + 10 * (1 + text.count("\n")))
    small: dict[str, Any] = {
        "fontsize": _SMALL,
        "color": "#444444",
        "xytext": (0, 4),
        "textcoords": "offset points",
    }
    panel.annotate(text, (0, 1), xycoords="axes fraction", va="bottom", **small)


def _points(
    panel: Axes,
    group: Sequence[TrialRecord],
    direction: Direction,
    frame: tuple[float, float] | None,
) -> None:
    """Values inside the frame as dots, worse ones as arrows at its edge, diverged and pruned ones
    as crosses there.
    """
    up = direction is Direction.MAXIMIZE
    edge = _padded(frame)[0 if up else 1]
    done = [
        (each.setting.learning_rate, each.value)
        for each in group
        if _has_value(each) and each.setting
    ]
    inside = [
        (rate, value)
        for rate, value in done
        if value is not None and frame and _within(value, frame) == value
    ]
    worse = [
        (rate, edge)
        for rate, value in done
        if value is not None and frame and _within(value, frame) != value
    ]
    styles: tuple[tuple[list[tuple[float, float]], dict[str, Any]], ...] = (
        (inside, {"marker": "o", "s": 28, "color": BLUE, "alpha": 0.85, "label": "trial"}),
        (
            worse,
            {
                "marker": "v" if up else "^",
                "s": 34,
                "color": BLUE,
                "alpha": 0.85,
                "label": "worse than shown",
            },
        ),
        (
            _at_edge(group, TrialState.PRUNED, edge),
            {"marker": "+", "s": 42, "color": GREY, "label": "pruned"},
        ),
        (
            _at_edge(group, TrialState.DIVERGED, edge),
            {"marker": "x", "s": 38, "color": VERMILION, "label": "diverged"},
        ),
    )
    for points, style in styles:
        if points:
            panel.scatter(*zip(*points, strict=True), zorder=3, clip_on=False, **style)


def _at_edge(
    group: Sequence[TrialRecord], state: TrialState, edge: float
) -> list[tuple[float, float]]:
    return [
        (each.setting.learning_rate, edge) for each in group if each.state is state and each.setting
    ]


def _has_value(record: TrialRecord) -> bool:
    return record.has_value


def _within(value: float, frame: tuple[float, float]) -> float:
    return min(max(value, frame[0]), frame[1])


def schedules_figure(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    curves: Mapping[int, Sequence[CurvePoint]],
    answer: Answer,
) -> Figure:
    """The rate over the run, relative to each peak, of the best trials and yours; the peak is in
    the legend.
    """
    figure = new_figure(8, _HEIGHT)
    panel = figure.subplots()
    for each, style in zip(_top(answer), LINES, strict=False):
        _schedule(panel, study, each, label=_legend(each, answer), **style)
    yours = yours_of(records)
    if yours is not None and yours.setting is not None:
        _yours_schedule(panel, study, _legend(yours, answer), curves.get(yours.id, ()))
    panel.set_xlabel("part of the run")
    panel.set_ylabel("learning rate / peak")
    panel.set_xlim(-0.03, 1.03)
    panel.set_ylim(-0.03, 1.06)
    panel.grid(alpha=0.25)
    finish(figure, f"{study.name}: schedules of the best trials and yours")
    return figure


def _schedule(panel: Axes, study: StudyRecord, record: TrialRecord, **style: Any) -> None:
    import numpy as np

    assert record.setting is not None  # the best have one
    total = study.facts.total_steps(record.setting.batch_size)
    line = rates(record.setting, total) / record.setting.learning_rate
    shown = np.unique(np.linspace(0, total - 1, min(total, _POINTS)).astype(int))
    panel.plot(shown / max(total - 1, 1), line[shown], marker="o" if total == 1 else "", **style)


def _yours_schedule(
    panel: Axes, study: StudyRecord, label: str, curve: Sequence[CurvePoint]
) -> None:
    known = yours_schedule(study.facts, curve)
    if known is None:
        panel.plot([], [], label=f"{label} (its rate over the run is not known)", **YOURS)
        return
    how = " (rates at epochs' ends)" if known.by_epoch else ""
    mark: dict[str, Any] = {"marker": "o", "ms": 4} if known.by_epoch else {}
    line = [rate / known.peak for rate in known.rates]
    panel.plot(known.parts, line, label=label + how, **YOURS, **mark)


def curves_figure(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    curves: Mapping[int, Sequence[CurvePoint]],
    answer: Answer,
) -> Figure:
    """The objective by epoch: yours and the best trials in colour, the others grey."""
    figure = new_figure(8, _HEIGHT)
    panel = figure.subplots()
    top = _top(answer)
    yours = yours_of(records)
    named = {each.id for each in top} | ({yours.id} if yours else set())
    others = [
        each for each in records if each.is_search and each.id not in named and curves.get(each.id)
    ]
    for place, each in enumerate(others):
        _curve(
            panel,
            curves[each.id],
            color="#888888",
            alpha=0.35,
            lw=0.8,
            label="_" * bool(place) + "other trials",
        )
    for each, style in zip(top, LINES, strict=False):
        _curve(
            panel,
            curves.get(each.id, ()),
            label=_legend(each, answer),
            **{**style, "lw": _CURVE_WIDTH},
        )
    if yours is not None and yours.setting is not None:
        ended = f" ({yours.state.value})" if yours.state is not TrialState.COMPLETE else ""
        _curve(panel, curves.get(yours.id, ()), label=_legend(yours, answer) + ended, **YOURS)
    frame = _curve_frame(study, records, curves)
    panel.set_ylim(*_padded(frame))
    if frame is None:
        panel.set_yticks([])
        panel.set_xlim(0.5, study.facts.epochs + 0.5)
        panel.text(
            0.5,
            0.5,
            "no epoch has a value",
            transform=panel.transAxes,
            ha="center",
            color="#444444",
        )
    panel.set_xlabel("epoch")
    set_ylabel(figure, panel, study.facts.objective, height=_HEIGHT)
    panel.grid(alpha=0.25)
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    finish(figure, f"{study.name}: {study.facts.objective} by epoch", order=("other trials",))
    return figure


def _curve(panel: Axes, points: Sequence[CurvePoint], **style: Any) -> None:
    known = [(each.epoch, each.value) for each in points if each.value is not None]
    where = zip(*known, strict=True) if known else ([], [])
    panel.plot(*where, marker="o" if len(known) == 1 else "", **style)


def _legend(record: TrialRecord, answer: Answer) -> str:
    assert record.setting is not None  # the best have one
    name = "yours" if record.is_yours else f"trial {record.number}"
    best = "best, " if answer.best is not None and answer.best.trial == record.number else ""
    words = f"{record.setting.optimizer} {rate_text(record.setting.learning_rate)}, {schedule_text(record.setting)}"
    return f"{best}{name}: {words}"


def _top(answer: Answer) -> list[TrialRecord]:
    """The best, as the answer has it, then the best single trainings; without yours."""
    best = answer.best.trial if answer.best else None
    searched = [each for each in answer.ranked if each.setting is not None and not each.is_yours]
    return sorted(searched, key=lambda each: each.number != best)[:TOP]


def _by_optimizer(records: Sequence[TrialRecord], answer: Answer) -> dict[str, list[TrialRecord]]:
    """Finished search trials by optimizer, in the order of the answer's table; without yours."""
    groups: dict[str, list[TrialRecord]] = {row.optimizer: [] for row in answer.by_optimizer}
    for each in records:
        if each.is_search and not each.is_yours and each.setting and each.ended:
            groups.setdefault(each.setting.optimizer, []).append(each)
    return {name: group for name, group in groups.items() if group}


def _frame(study: StudyRecord, records: Sequence[TrialRecord]) -> tuple[float, float] | None:
    values = [each.value for each in records if each.is_search and each.value is not None]
    return _without_the_worst(values, study.direction)


def _curve_frame(
    study: StudyRecord, records: Sequence[TrialRecord], curves: Mapping[int, Sequence[CurvePoint]]
) -> tuple[float, float] | None:
    mine = {each.id for each in records if each.is_search}
    values = [
        point.value for key in mine for point in curves.get(key, ()) if point.value is not None
    ]
    return _without_the_worst(values, study.direction)


def _without_the_worst(values: Sequence[float], direction: Direction) -> tuple[float, float] | None:
    """The lowest and highest value that are shown; None where there is none."""
    ordered = sorted(each for each in values if math.isfinite(each))
    if not ordered:
        return None
    cut = round(len(ordered) * (1 - _SHOWN_SHARE))
    low = ordered[cut if direction is Direction.MAXIMIZE else 0]
    high = ordered[-1 if direction is Direction.MAXIMIZE else len(ordered) - 1 - cut]
    return low, high


def _padded(frame: tuple[float, float] | None) -> tuple[float, float]:
    low, high = frame or (0.0, 1.0)
    pad = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - pad, high + pad
