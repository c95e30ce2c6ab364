"""The figures of lines: schedules over the run, learning curves, the best value after k trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lrsearch.answer import Answer, find_yours
from lrsearch.answer.words import count_text, rate_text
from lrsearch.report.html.marks import Panel, both_sizes, line, mark, swatch
from lrsearch.report.html.markup import Content, Markup, join, tag
from lrsearch.report.html.scales import Scale, value_scale
from lrsearch.report.picture_parts import (
    Frame,
    best_after,
    best_trials,
    frame_of,
    in_order_of_end,
    legend_text,
)
from lrsearch.report.words import trial_setting_text, value_text
from lrsearch.report.yours_schedule import yours_schedule
from lrsearch.space import rates
from lrsearch.values import (
    CurvePoint,
    Setting,
    StudyRecord,
    TrialRecord,
    Trials,
    TrialState,
)

Curves = Mapping[int, Sequence[CurvePoint]]
Points = Sequence[tuple[float, float]]

BEST, FAILURES = 3, 2  # trials whose curves are drawn, beside yours
_POINTS = 200  # of a schedule's line
LEFT = 82.0  # pixels: where the axis of values stands
_LINE = 18.0  # pixels: a line of text
_HALVES = 500.0  # pixels: a wider figure has two panels in a row
# line styles tell curves apart without colour
_STYLES = ("l0", "l1", "l2")
_BAD_STYLES = ("b0", "b1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleLine:
    """A schedule as it is drawn: rates by update."""

    name: str
    style: str
    points: Points
    updates: int  # of the whole run


def shown_curves(records: Trials, answer: Answer) -> list[TrialRecord]:
    """The trials whose curves the report draws: the best, yours, and failures."""
    yours = find_yours(records)
    mine = [yours] if yours is not None and yours.setting is not None else []
    return [*best_trials(answer)[:BEST], *mine, *_failures(records)]


def _failures(records: Trials) -> list[TrialRecord]:
    """A diverged trial and a pruned or failed one where there are both; those that lasted long."""
    bad = [
        each for each in records if each.is_search and not each.is_yours and each.epochs
    ]
    kinds = (TrialState.DIVERGED, TrialState.PRUNED, TrialState.FAILED)
    by_kind = [[each for each in bad if each.state is kind] for kind in kinds]
    for group in by_kind:
        group.sort(key=lambda each: -each.epochs)
    first = [group[0] for group in by_kind if group]
    rest = [each for group in by_kind for each in group[1:]]
    return [*first, *rest][:FAILURES]


# -- schedules -------------------------------------------------------------------------


def schedules_figure(
    study: StudyRecord, records: Trials, curves: Curves, answer: Answer
) -> Markup | None:
    """The winning schedule in updates and epochs, and yours beside; None before there is any."""
    found: list[ScheduleLine] = []
    best, yours = answer.best, find_yours(records)
    if best is not None and not best.is_yours:
        total = study.facts.total_steps(best.setting.batch_size)
        name = f"best, trial {best.trial}"
        points = _schedule_points(best.setting, total)
        found.append(ScheduleLine(name=name, style="l0", points=points, updates=total))
    if yours is not None and yours.setting is not None:
        known = yours_schedule(study.facts, curves.get(yours.id, ()))
        total = study.facts.total_steps(yours.setting.batch_size)
        if known is not None:
            points = [
                (part * total, rate)
                for part, rate in zip(known.parts, known.rates, strict=True)
            ]
            found.append(
                ScheduleLine(name="yours", style="lyours", points=points, updates=total)
            )
    if not found:
        return None
    label = "learning rate over the run: " + " and ".join(each.name for each in found)
    return both_sizes(lambda width: _draw_schedules(study, found, width), label)


def _schedule_points(setting: Setting, total: int) -> Points:
    import numpy as np

    every = rates(setting, total)
    shown = np.unique(np.linspace(0, total - 1, min(total, _POINTS)).astype(int))
    return [(float(update), float(every[update])) for update in shown]


def _draw_schedules(
    study: StudyRecord, found: Sequence[ScheduleLine], width: float
) -> tuple[Content, float]:
    beside = width > _HALVES
    room = width / len(found) if beside else width
    parts: list[Content] = []
    for place, each in enumerate(found):
        left, top = (place * room, 0.0) if beside else (0.0, place * 230.0)
        panel = _schedule_panel(study, each, left + LEFT, left + room - 14, top)
        panel.add(
            line([(panel.x.at(x), panel.y.at(y)) for x, y in each.points], each.style)
        )
        text = f"{each.name}: peak {rate_text(max(rate for _, rate in each.points))}"
        panel.add(
            tag("text", text, x=left + room - 16, y=top + 20, class_="end strong")
        )
        parts.append(panel.parts)
    return parts, 230.0 * (1 if beside else len(found))


def _schedule_panel(
    study: StudyRecord, each: ScheduleLine, left: float, right: float, top: float
) -> Panel:
    updates = max(x for x, _ in each.points) or 1.0
    peak = max(y for _, y in each.points) or 1.0
    x = Scale(low=0.0, high=updates, start=left, end=right, whole=True)
    y = Scale(low=0.0, high=1.08 * peak, start=top + 180, end=top + 30)
    panel = Panel(x=x, y=y)
    panel.axes("", "rate", x_ticks=5)
    epochs = count_text(study.facts.epochs, "epoch")
    label = f"updates ({each.updates:,} in {epochs})"
    panel.add(
        tag("text", label, x=(left + right) / 2, y=top + 214, class_="middle label")
    )
    return panel


# -- curves ----------------------------------------------------------------------------


def curves_figure(
    study: StudyRecord, records: Trials, curves: Curves, answer: Answer
) -> Markup | None:
    """The objective by epoch of the best trials, yours and failures; None where none has any."""
    shown = [each for each in shown_curves(records, answer) if _values(curves, each)]
    values = [y for each in shown for _, y in _values(curves, each)]
    frame = frame_of(values, study.direction)
    if not shown or frame is None:
        return None
    styles = _curve_styles(shown)
    label = f"{study.facts.objective} by epoch of {count_text(len(shown), 'trial')}"

    def draw(width: float) -> tuple[Content, float]:
        epochs = float(study.facts.epochs)
        x = Scale(low=0.0, high=epochs, start=LEFT, end=width - 12, whole=True)
        panel = Panel(x=x, y=value_scale(*frame, 280.0, 26.0))
        panel.axes("epoch", study.facts.objective)
        for each in reversed(shown):
            _curve(
                panel,
                each,
                _values(curves, each),
                styles[each.id],
                legend_text(each, answer),
            )
        return panel.parts, 320.0

    legend = [
        tag("span", swatch(tag("path", d="M-14 0h28", class_=f"line {styles[each.id]}"), 30),
            _curve_label(each, answer, _values(curves, each), frame))
        for each in shown
    ]  # fmt: skip
    return join([both_sizes(draw, label), tag("p", legend, class_="legend column")])


def _values(curves: Curves, each: TrialRecord) -> Points:
    return [
        (float(point.epoch), point.value)
        for point in curves.get(each.id, ())
        if point.value is not None
    ]


def _curve_styles(shown: Trials) -> dict[int, str]:
    good, bad = iter(_STYLES), iter(_BAD_STYLES)
    return {
        each.id: "lyours"
        if each.is_yours
        else next(good)
        if each.complete
        else next(bad, "b1")
        for each in shown
    }


def _curve_label(
    each: TrialRecord, answer: Answer, points: Points, frame: Frame
) -> str:
    ends = [] if each.complete else [f"{each.state.value} after epoch {each.epochs}"]
    if not any(value_scale(*frame, 0.0, 1.0).holds(y) for _, y in points):
        ends.append("outside the frame")
    return legend_text(each, answer) + (f" ({', '.join(ends)})" if ends else "")


def _curve(
    panel: Panel, each: TrialRecord, points: Points, style: str, tooltip: str
) -> None:
    where = [(panel.x.at(x), panel.y.at(y)) for x, y in points]
    for part in _inside(panel, where):
        panel.add(line(part, style, tooltip))
    if not each.complete:
        panel.add(mark("cross" if each.diverged else "tick", *where[-1], tooltip))


def _inside(panel: Panel, where: Points) -> Iterator[Points]:
    """The parts of a line that do not run along the frame's edge."""
    edges = {panel.y.start, panel.y.end}
    part: list[tuple[float, float]] = []
    for place, point in enumerate(where):
        near = where[max(0, place - 1) : place + 2]
        if all(y in edges for _, y in near):
            if part:
                yield part
            part = []
        else:
            part.append(point)
    if part:
        yield part


# -- the best after k ------------------------------------------------------------------


def progress_figure(
    study: StudyRecord, records: Trials, answer: Answer
) -> Markup | None:
    """The best single value after k trials, beside yours and the best's retests."""
    ended = in_order_of_end(records)
    steps = best_after(study, ended)
    if len(ended) < 2 or not steps:  # noqa: PLR2004
        return None
    yours = answer.yours.searched if answer.yours else None
    best = answer.best.value if answer.best and answer.best.seeds else None
    frame = frame_of([*(value for _, value, _ in steps)], study.direction)
    assert frame is not None  # steps have finite values
    extra = [each for each in (yours, best) if each is not None]
    low, high = min([frame[0], *extra]), max([frame[1], *extra])

    def draw(width: float) -> tuple[Content, float]:
        x = Scale(
            low=0.0, high=float(len(ended)), start=LEFT, end=width - 12, whole=True
        )
        panel = Panel(x=x, y=value_scale(low, high, 250.0, 26.0))
        panel.axes("trials that ended", f"best {study.facts.objective} of one training")
        levels = [
            (yours, "yours", "yours, one training"),
            (best, "mean", "the best's retests, mean"),
        ]
        _steps(panel, steps, len(ended))
        # above the steps, or a step would cross the text
        for value, classes, name in levels:
            _level(panel, value, classes, name)
        return panel.parts, 290.0

    return both_sizes(draw, f"the best {study.facts.objective} after k trials")


def _steps(
    panel: Panel, steps: Sequence[tuple[int, float, TrialRecord]], last: int
) -> None:
    corners: list[tuple[float, float]] = []
    for place, value, _ in steps:
        x, y = panel.x.at(place), panel.y.at(value)
        corners += [(x, corners[-1][1])] if corners else []
        corners.append((x, y))
    corners.append((panel.x.at(last), corners[-1][1]))
    panel.add(line(corners, "l0"))
    for place, value, each in steps:
        tooltip = f"{value_text(value)} by {each.label}: {trial_setting_text(each)}"
        at = {"cx": panel.x.at(place), "cy": panel.y.at(value)}
        panel.add(tag("circle", tag("title", tooltip), r=3.5, class_="dot l0", **at))


def _level(panel: Panel, value: float | None, classes: str, name: str) -> None:
    if value is None:
        return
    left, top, right, _ = panel.ends
    at, text = panel.y.at(value), f"{name}: {value_text(value)}"
    panel.add(tag("line", x1=left, x2=right, y1=at, y2=at, class_=classes))
    y = at - 5 if at - top > _LINE else at + 14  # within the frame
    # the line of the best begins at its left, and ends at the other's right
    if classes == "yours":
        panel.add(tag("text", text, x=right - 4, y=y, class_="end halo"))
    else:
        panel.add(tag("text", text, x=left + 6, y=y, class_="halo"))
