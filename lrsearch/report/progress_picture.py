"""The picture of progress: the best value of one training after k trials, yours, the retests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.answer import Answer
from lrsearch.report.canvas import (
    BLACK,
    LINES,
    finish,
    new_figure,
    nothing_to_draw,
    set_ylabel,
)
from lrsearch.report.picture_parts import (
    HEIGHT,
    best_after,
    frame_of,
    in_order_of_end,
    pad_frame,
)
from lrsearch.values import StudyRecord, Trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def progress_figure(study: StudyRecord, records: Trials, answer: Answer) -> Figure:
    """The best single value after k trials, beside yours and the mean of the best's retests.

    Raises InvalidValue where no trial has a value yet.
    """
    ended = in_order_of_end(records)
    steps = best_after(study, ended)
    if not steps:
        raise nothing_to_draw("a trial with a value")
    figure = new_figure(8, HEIGHT)
    panel = figure.subplots()
    places, values = [place for place, _, _ in steps], [value for _, value, _ in steps]
    best = answer.best.value if answer.best and answer.best.seeds else None
    yours = answer.yours.searched if answer.yours else None
    line = {**LINES[0], "lw": 2.2}
    panel.step(
        [*places, len(ended)],
        [*values, values[-1]],
        where="post",
        label="best so far",
        **line,
    )
    panel.scatter(places, values, s=22, color=LINES[0]["color"], zorder=3)
    if yours is not None:
        panel.axhline(yours, color=BLACK, lw=1, ls="--", label="yours, one training")
    if best is not None:
        panel.axhline(
            best,
            color=LINES[2]["color"],
            lw=1.8,
            ls=":",
            label="the best's retests, mean",
        )
    known = [each for each in (yours, best) if each is not None]
    frame = frame_of(values, study.direction)
    assert frame is not None  # the steps have finite values
    panel.set_ylim(
        *pad_frame((min(frame[0], *known, frame[1]), max(frame[1], *known, frame[0])))
    )
    panel.set_xlabel("trials that ended")
    set_ylabel(figure, panel, study.facts.objective, height=HEIGHT)
    panel.grid(alpha=0.25)
    finish(
        figure, f"{study.name}: the best single {study.facts.objective} after k trials"
    )
    return figure
