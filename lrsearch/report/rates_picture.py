"""The picture of rates: every trial's value against its peak learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lrsearch.answer import Answer, OptimizerRow, ended_by_optimizer
from lrsearch.answer.words import rate_text
from lrsearch.report.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    finish,
    fit_text,
    new_figure,
    nothing_to_draw,
    set_ylabel,
)
from lrsearch.report.picture_parts import (
    Frame,
    frame_of_rates,
    pad_frame,
    retest_values,
)
from lrsearch.report.words import range_text, value_text
from lrsearch.values import Direction, StudyRecord, Trials, TrialState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# in this order
_LEGEND = ("trial", "worse than shown", "diverged", "pruned", "best", "yours", "retests, with mean",
           "as good as the best", "crawls", "diverges")  # fmt: skip
_ROOM = 1.6  # times the outermost rates: where the axis ends
# times the middle on either side, or a single trial would have an axis without a second
# number
_LEAST_SPAN = 15.0
_COLUMNS = 3
_PANEL_HEIGHT = 3.4  # inches
_SMALL = 7.5  # points
# of its column is a panel's own width; the rest is the numbers' of its axis
_PANEL_SHARE = 0.82


def rates_figure(study: StudyRecord, records: Trials, answer: Answer) -> Figure:
    """A panel per optimizer: values against peak rates, where it crawls, where it diverges.

    Yours is a line.
    """
    found = ended_by_optimizer(records)
    order = [row.optimizer for row in answer.by_optimizer]
    groups = {
        name: found[name] for name in dict.fromkeys([*order, *found]) if name in found
    }
    if not groups:
        raise nothing_to_draw("a finished trial")
    width = min(_COLUMNS, len(groups))
    height = -(-len(groups) // width)
    figure = new_figure(max(5.6, 4.2 * width), _PANEL_HEIGHT * height)
    panels = figure.subplots(height, width, squeeze=False, sharey=True)
    frame = frame_of_rates(study, records, answer)
    for panel, (name, group) in zip(panels.flat, groups.items(), strict=False):
        regions = _rates_panel(panel, name, group, answer, frame)
        room = _PANEL_SHARE * figure.get_figwidth() * figure.dpi / width
        _head(figure, panel, name, regions, room=room)
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
    group: Trials,
    answer: Answer,
    frame: Frame | None,
) -> str:
    """Draw a panel; returns its regions in words."""
    row = next((each for each in answer.by_optimizer if each.optimizer == name), None)
    panel.set_xscale("log")
    panel.set_xlim(*_span(name, group, answer))
    panel.set_ylim(*pad_frame(frame))
    if frame is None:
        panel.set_yticks([])
    regions = _regions(panel, row) if row is not None else ""
    _points(panel, group, answer.direction, frame)
    if frame is not None:
        _retests(panel, name, answer)
        _yours_and_best(panel, name, answer, frame)
    panel.grid(alpha=0.25)
    panel.set_xlabel("peak learning rate")
    return regions


def _retests(panel: Axes, name: str, answer: Answer) -> None:
    """Shade the rates that do as well as the best; a bar over each setting's retests."""
    band = answer.band
    if band is not None and band.optimizer == name:
        label = "as good as the best"
        panel.axvspan(
            band.low, band.high, color=GREEN, alpha=0.15, lw=0, label=label, zorder=0.6
        )
    for each in answer.retested:
        values, rate = retest_values(each), each.setting.learning_rate
        if (
            not values
            or each.value is None
            or rate <= 0
            or each.setting.optimizer != name
        ):
            continue
        around = [[each.value - min(values)], [max(values) - each.value]]
        bar: dict[str, Any] = {
            "fmt": "_",
            "ms": 8,
            "capsize": 4,
            "color": BLACK,
            "zorder": 3,
        }
        panel.errorbar(rate, each.value, yerr=around, label="retests, with mean", **bar)


def _yours_and_best(panel: Axes, name: str, answer: Answer, frame: Frame) -> None:
    yours, best = answer.yours, answer.best
    above: dict[str, Any] = {"zorder": 3, "clip_on": False}
    if yours is not None and yours.value is not None:
        at, rate = _within(yours.value, frame), yours.setting.learning_rate
        if at == yours.value:
            panel.axhline(at, color=BLACK, lw=1, ls="--", label="yours", zorder=2)
            marker = "D"
        else:  # a line at the frame's edge would name a wrong value
            marker, at = (
                ("v", pad_frame(frame)[0])
                if at > yours.value
                else ("^", pad_frame(frame)[1])
            )
            label = f"yours ({value_text(yours.value)}, outside)"
            panel.plot([], [], color=BLACK, marker=marker, ms=6, ls="", label=label)
        if yours.setting.optimizer == name and rate > 0:
            panel.scatter(rate, at, marker=marker, s=34, color=BLACK, **above)
    if best is not None and best.value is not None and best.setting.optimizer == name:
        rate, at = best.setting.learning_rate, _within(best.value, frame)
        ring: dict[str, Any] = {
            "facecolors": "none",
            "edgecolors": BLACK,
            "lw": 1.8,
            "s": 170,
        }
        panel.scatter(rate, at, label="best", **ring, **(above | {"zorder": 4}))


def _span(name: str, group: Trials, answer: Answer) -> tuple[float, float]:
    """The ends of a panel's axis of rates."""
    seen = [each.peak_rate for each in group]
    yours = answer.yours.setting if answer.yours is not None else None
    if yours is not None and yours.optimizer == name and yours.learning_rate > 0:
        seen.append(yours.learning_rate)
    middle = math.sqrt(min(seen) * max(seen))
    span = max(max(seen) / middle * _ROOM, _LEAST_SPAN)
    return middle / span, middle * span


def _regions(panel: Axes, row: OptimizerRow) -> str:
    """Shade where training crawls and where it diverges; returns the same in words."""
    regions = []
    if row.crawls_to is not None:
        panel.axvspan(
            panel.get_xlim()[0],
            row.crawls_to,
            color=GREY,
            alpha=0.2,
            lw=0,
            label="crawls",
        )
        regions.append(f"crawls up to {rate_text(row.crawls_to)}")
    if row.good_rates is not None:
        regions.append(f"as good at {range_text(row.good_rates)}")
    if row.diverges_from is not None:
        style: dict[str, Any] = {
            "facecolor": "#f6d5c3",
            "edgecolor": "#e5b79c",
            "hatch": "///",
            "lw": 0,
        }
        panel.axvspan(
            row.diverges_from,
            panel.get_xlim()[1],
            label="diverges",
            zorder=0.5,
            **style,
        )
        regions.append(f"diverges from {rate_text(row.diverges_from)}")
    return ", ".join(regions)


def _head(figure: Figure, panel: Axes, name: str, regions: str, *, room: float) -> None:
    """Write a panel's name, and its regions in small print below, in `room` pixels."""
    text = fit_text(figure, regions, size=_SMALL, room=room)
    panel.set_title(
        name, loc="left", fontweight="bold", pad=8 + 10 * (1 + text.count("\n"))
    )
    small: dict[str, Any] = {
        "fontsize": _SMALL,
        "color": "#444444",
        "xytext": (0, 4),
        "textcoords": "offset points",
    }
    panel.annotate(text, (0, 1), xycoords="axes fraction", va="bottom", **small)


def _points(
    panel: Axes,
    group: Trials,
    direction: Direction,
    frame: Frame | None,
) -> None:
    """Draw values inside the frame as dots, worse ones as arrows and others as crosses at its edge.

    The crosses are diverged and pruned trials.
    """
    up = direction is Direction.MAXIMIZE
    edge = pad_frame(frame)[0 if up else 1]
    done = [
        (each.peak_rate, each.final_value) for each in group if each.has_value and frame
    ]
    inside = [
        (rate, value)
        for rate, value in done
        if frame and _within(value, frame) == value
    ]
    worse = [(rate, edge) for rate, value in done if (rate, value) not in inside]
    dot: dict[str, Any] = {"color": BLUE, "alpha": 0.85}
    arrow: dict[str, Any] = dot | {"marker": "v" if up else "^", "s": 34}
    # within the frame: at its edge lie the axis' own ticks
    inner = pad_frame(frame)[1 if up else 0]
    inside_edge = edge + 0.035 * (inner - edge)
    tick: dict[str, Any] = {"marker": "|", "s": 60, "color": GREY, "lw": 1.8}
    cross: dict[str, Any] = {"marker": "x", "s": 38, "color": VERMILION}
    styles: dict[str, tuple[list[tuple[float, float]], dict[str, Any]]] = {
        "trial": (inside, dot | {"marker": "o", "s": 28}),
        "worse than shown": (worse, arrow),
        "pruned": (_at_edge(group, TrialState.PRUNED, inside_edge), tick),
        "diverged": (_at_edge(group, TrialState.DIVERGED, edge), cross),
    }
    for label, (points, style) in styles.items():
        if points:
            panel.scatter(
                *zip(*points, strict=True),
                label=label,
                zorder=3,
                clip_on=False,
                **style,
            )


def _at_edge(
    group: Trials, state: TrialState, edge: float
) -> list[tuple[float, float]]:
    return [(each.peak_rate, edge) for each in group if each.state is state]


def _within(value: float, frame: Frame) -> float:
    return min(max(value, frame[0]), frame[1])
