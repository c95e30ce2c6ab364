"""The figure of rates: value against peak rate, and below which rates are good, crawl, diverge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lrsearch.answer import Answer, OptimizerRow, evidence_text
from lrsearch.answer.words import rate_text
from lrsearch.report.html.marks import (
    Panel,
    both_sizes,
    colour_class,
    mark,
    swatch,
    symbol,
)
from lrsearch.report.html.markup import Content, Markup, join, tag
from lrsearch.report.html.scales import Scale, rate_scale, value_scale
from lrsearch.report.picture_parts import (
    best_and_newest,
    frame_of_rates,
    rated_trials,
    retest_values,
)
from lrsearch.report.words import (
    range_text,
    setting_text,
    trial_setting_text,
    value_text,
    varying_of,
)
from lrsearch.values import StudyRecord, TrialRecord, Trials, TrialState

MOST = 2000  # points that are drawn: the best and the newest
_ROW = 20.0  # pixels of an optimizer's strip
_FITS = 10  # characters beside the strip; a longer name stands on it
_STATES = {TrialState.DIVERGED: "cross", TrialState.PRUNED: "tick"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RatesFigure:
    """What the figure shows, whatever its width."""

    study: StudyRecord
    answer: Answer
    shown: Trials  # with a setting and a rate above zero
    varying: frozenset[str]
    frame: tuple[float, float] | None  # None: no trial has a value
    places: dict[str, int]  # of optimizers: colour and symbol

    def rates(self) -> list[float]:
        """All rates that the figure must have room for."""
        found = [each.peak_rate for each in self.shown]
        ends = (rate for row in self.answer.by_optimizer for rate in _ends(row))
        return [each for each in (*found, *ends) if each > 0]

    def tooltip(self, each: TrialRecord) -> str:
        """What stands under the pointer."""
        value = value_text(each.value) if each.has_value else each.state.value
        return f"{each.label}: {value}; {trial_setting_text(each, self.varying)}"


def rates_figure(study: StudyRecord, records: Trials, answer: Answer) -> Markup | None:
    """The figure with its legend; None where no trial with a rate has ended."""
    rated = rated_trials(records)
    if not rated:
        return None
    figure = RatesFigure(
        study=study,
        answer=answer,
        shown=best_and_newest(rated, answer, MOST),
        varying=varying_of(rated),
        frame=frame_of_rates(study, records, answer),
        places=optimizer_places(records, answer),
    )
    objective = study.facts.objective
    label = f"{objective} against peak learning rate, a symbol for each trial"
    return join(
        [both_sizes(lambda width: _draw(figure, width), label), _legend(figure)]
    )


def optimizer_places(records: Trials, answer: Answer) -> dict[str, int]:
    """A place for each optimizer, best first: the same colour and symbol in every figure."""
    names = [row.optimizer for row in answer.by_optimizer]
    names += sorted({each.setting.optimizer for each in records if each.setting})
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _draw(figure: RatesFigure, width: float) -> tuple[Content, float]:
    wide = width > 500  # noqa: PLR2004
    left, right, top, bottom = 82.0, width - 10, 26.0, (330.0 if wide else 280.0)
    if figure.frame is None:
        bottom = 80.0
    y = value_scale(*(figure.frame or (0.0, 1.0)), bottom, top)
    panel = Panel(x=rate_scale(figure.rates(), left, right), y=y)
    label = figure.study.facts.objective if figure.frame else "no trial has a value"
    panel.axes(
        "", label, x_ticks=8 if wide else 5, y_ticks=5 * (figure.frame is not None)
    )
    _band(panel, figure)
    _points(panel, figure)
    _yours(panel, figure)
    _retests(panel, figure)
    _best(panel, figure)
    strips, height = _strips(panel.x, figure, bottom + 26)
    label = tag(
        "text",
        "peak learning rate",
        x=(left + right) / 2,
        y=height + 14,
        class_="middle label",
    )
    return [panel.parts, strips, label], height + 24


def _band(panel: Panel, figure: RatesFigure) -> None:
    """Shade the rates of the best's optimizer that do as well as its own."""
    band = figure.answer.band
    if band is None or figure.frame is None:
        return
    _, top, _, bottom = panel.ends
    low, high = panel.x.at(band.low) - 3, panel.x.at(band.high) + 3
    tooltip = f"{band.optimizer} does as well at {range_text((band.low, band.high))}"
    title = tag("title", tooltip)
    shade = tag(
        "rect",
        title,
        x=low,
        y=top,
        width=high - low,
        height=bottom - top,
        class_="band",
    )
    panel.add(shade)


def _points(panel: Panel, figure: RatesFigure) -> None:
    """Trials with values as symbols; those outside as arrows, others as crosses at the edge."""
    worse = "down" if figure.study.direction.better(1.0, 0.0) else "up"
    edge = panel.y.start - 7 if worse == "down" else panel.y.end + 7
    drawn: list[Markup] = []
    for each in reversed(figure.shown):  # the earlier above
        place = figure.places[each.setting.optimizer] if each.setting else 0
        at, tooltip = panel.x.at(each.peak_rate), figure.tooltip(each)
        if each.has_value and panel.y.holds(each.final_value):
            drawn.append(
                symbol(
                    place, at, panel.y.at(each.final_value), tooltip, f"o{place} point"
                )
            )
        elif each.has_value:
            above = _outside(panel, each.final_value) > 0
            where = panel.y.end + 7 if above else panel.y.start - 7
            name = "up" if above else "down"
            drawn.append(
                mark(name, at, where, tooltip, f"{colour_class(place)} o{place} point")
            )
        elif each.state in _STATES:
            drawn.append(
                mark(_STATES[each.state], at, edge, tooltip, f"o{place} point")
            )
    panel.add(drawn)


def _yours(panel: Panel, figure: RatesFigure) -> None:
    yours = figure.answer.yours
    if yours is None or yours.value is None:
        return
    left, _, right, _ = panel.ends
    at, rate = panel.y.at(yours.value), yours.setting.learning_rate
    tooltip = f"yours: {value_text(yours.value)} ({evidence_text(yours.retest)})"
    # a line at the frame's edge would name a wrong value
    if not panel.y.holds(yours.value):
        where = _outside(panel, yours.value)
        text = f"yours: {value_text(yours.value)}, outside"
        panel.add(
            tag("text", text, x=right - 4, y=at + where * 22 + 4, class_="end halo")
        )
        if panel.x.holds(rate):
            name = "up" if where > 0 else "down"
            panel.add(mark(name, panel.x.at(rate), at + where * 7, tooltip, "mine"))
        return
    panel.add(
        tag(
            "line",
            tag("title", tooltip),
            x1=left,
            x2=right,
            y1=at,
            y2=at,
            class_="yours",
        ),
        tag("text", "yours", x=right - 4, y=at - 5, class_="end halo"),
    )
    if panel.x.holds(rate):
        panel.add(
            tag(
                "circle",
                tag("title", tooltip),
                cx=panel.x.at(rate),
                cy=at,
                r=5.0,
                class_="yours-at",
            )
        )


def _outside(panel: Panel, value: float) -> int:
    """1 where a value lies above the frame, -1 below: the way into the frame, in pixels."""
    return 1 if panel.y.at(value) <= panel.y.end else -1


def _retests(panel: Panel, figure: RatesFigure) -> None:
    """A bar over each setting's retests, with a tick at their mean."""
    for each in figure.answer.retested:
        values, rate = retest_values(each), each.setting.learning_rate
        if not values or not panel.x.holds(rate) or each.value is None:
            continue
        if not panel.y.holds(min(values)) and not panel.y.holds(max(values)):
            continue
        x = panel.x.at(rate)
        low = panel.y.at(min(values))
        high = panel.y.at(max(values))
        tooltip = f"retests of trial {each.trial}: {', '.join(value_text(one) for one in values)}"
        ends = "".join(
            f"M{x - 5:.1f} {at:.1f}h10" for at in (low, panel.y.at(each.value), high)
        )
        path = f"M{x:.1f} {low:.1f}V{high:.1f}{ends}"
        panel.add(tag("path", tag("title", tooltip), d=path, class_="retest"))


def _best(panel: Panel, figure: RatesFigure) -> None:
    best = figure.answer.best
    if (
        best is None
        or best.value is None
        or not panel.x.holds(best.setting.learning_rate)
    ):
        return
    x, y = panel.x.at(best.setting.learning_rate), panel.y.at(best.value)
    label = f"best: {rate_text(best.setting.learning_rate)}"
    value = f"{value_text(best.value)} ({evidence_text(best.retest)})"
    tooltip = f"best, trial {best.trial}: {value}; {setting_text(best.setting, figure.varying)}"
    # away from the nearer edge: beside the ring lie the trials around it
    under = y < (panel.y.start + panel.y.end) / 2
    panel.add(
        tag("circle", tag("title", tooltip), cx=x, cy=y, r=11.0, class_="ring"),
        tag(
            "text",
            label,
            x=x,
            y=y + (27 if under else -17),
            class_="halo strong middle",
        ),
    )


def _strips(x: Scale, figure: RatesFigure, top: float) -> tuple[list[Markup], float]:
    """A row for each optimizer: where it crawls, is as good as its best, diverges."""
    parts: list[Markup] = []
    y = top
    for row in figure.answer.by_optimizer:
        place = figure.places[row.optimizer]
        parts += _strip(x, row, place, y)
        y += _ROW
    return parts, y + 2


def _strip(x: Scale, row: OptimizerRow, place: int, y: float) -> Iterable[Markup]:
    classes = f"o{place} strip"
    name = tag("text", row.optimizer, x=x.start - 6, y=y + 12, class_="end")
    if len(row.optimizer) > _FITS:
        name = tag("text", row.optimizer, x=x.start + 4, y=y + 12, class_="halo")
    base = tag("line", x1=x.start, x2=x.end, y1=y + 8, y2=y + 8, class_="grid")
    yield tag("g", base, *_bars(x, row, place, y), name, class_=classes)


def _bars(x: Scale, row: OptimizerRow, place: int, y: float) -> list[Markup]:
    bars: list[Markup] = []
    if row.crawls_to is not None:
        tooltip = f"{row.optimizer} crawls up to {rate_text(row.crawls_to)}"
        bars.append(_bar(x.start, x.at(row.crawls_to), y, "crawls", tooltip))
    if row.good_rates is not None:
        low, high = map(x.at, row.good_rates)
        tooltip = (
            f"{row.optimizer}: as good as its best at {range_text(row.good_rates)}"
        )
        bars.append(_bar(low - 3, high + 3, y, f"good {colour_class(place)}", tooltip))
    if row.diverges_from is not None:
        tooltip = f"{row.optimizer} diverges from {rate_text(row.diverges_from)}"
        bars.append(_bar(x.at(row.diverges_from), x.end, y, "diverges", tooltip))
    return bars


def _bar(start: float, end: float, y: float, classes: str, tooltip: str) -> Markup:
    title = tag("title", tooltip)
    width = max(2.0, end - start)
    return tag("rect", title, x=start, y=y + 2, width=width, height=12, class_=classes)


def _ends(row: OptimizerRow) -> Sequence[float]:
    found = (row.crawls_to, row.diverges_from, *(row.good_rates or ()))
    return [each for each in found if each is not None]


def _legend(figure: RatesFigure) -> Markup:
    """A button for each optimizer, which shows that one alone; then what the other marks mean."""
    names = [row.optimizer for row in figure.answer.by_optimizer] or list(figure.places)
    buttons = [
        tag("button", swatch(symbol(figure.places[each], 0, 0)), each, type="button",
            data_only=f"o{figure.places[each]}", aria_pressed="false")
        for each in names
    ]  # fmt: skip
    shown = [
        tag("span", swatch(drawn), text)
        for drawn, text, is_there in _MARKS
        if is_there(figure)
    ]
    choice = tag(
        "p", buttons, class_="legend choice", role="group", aria_label="one optimizer"
    )
    return join([choice, tag("p", shown, class_="legend")])


def _has_ended(state: TrialState) -> Callable[[RatesFigure], bool]:
    return lambda figure: any(each.state is state for each in figure.shown)


def _has_outside(figure: RatesFigure) -> bool:
    if figure.frame is None:
        return False
    y = value_scale(*figure.frame, 0.0, 1.0)
    return any(
        each.has_value and not y.holds(each.final_value) for each in figure.shown
    )


def _has_strip(name: str) -> Callable[[RatesFigure], bool]:
    return lambda figure: any(
        getattr(row, name) is not None for row in figure.answer.by_optimizer
    )


_AREA: Final = {"x": -9, "y": -6, "width": 18, "height": 12}
# a mark, what it means, and whether a figure has one
_MARKS: Final[tuple[tuple[Markup, str, Callable[[RatesFigure], bool]], ...]] = (
    (
        tag("path", d="M0-6V6M-4-6h8M-4 0h8M-4 6h8", class_="retest"),
        "retests, with their mean",
        lambda figure: any(map(retest_values, figure.answer.retested)),
    ),
    (
        tag("circle", r=6, class_="ring"),
        "best",
        lambda figure: figure.answer.best is not None,
    ),
    (
        tag("path", d="M-9 0h18", class_="yours"),
        "yours",
        lambda figure: (
            figure.answer.yours is not None and figure.answer.yours.value is not None
        ),
    ),
    (mark("cross", 0, 0), "diverged", _has_ended(TrialState.DIVERGED)),
    (mark("tick", 0, 0), "pruned", _has_ended(TrialState.PRUNED)),
    (mark("down", 0, 0), "outside the frame", _has_outside),
    (
        tag("rect", **_AREA, class_="band"),
        "as good as the best",
        lambda figure: figure.answer.band is not None and figure.frame is not None,
    ),
    (tag("rect", **_AREA, class_="crawls"), "crawls", _has_strip("crawls_to")),
    (
        tag("rect", **_AREA, class_="good k0"),
        "as good as its best",
        _has_strip("good_rates"),
    ),
    (tag("rect", **_AREA, class_="diverges"), "diverges", _has_strip("diverges_from")),
)
