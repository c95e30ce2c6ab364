"""The picture of shapes: the best value of each optimizer with each schedule shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.answer import Answer
from lrsearch.report.canvas import BLACK, finish, new_figure, nothing_to_draw
from lrsearch.report.picture_parts import best_by_shape
from lrsearch.report.words import value_digits, value_text
from lrsearch.values import StudyRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW, _HEAD = 0.42, 1.2  # inches


def shapes_figure(study: StudyRecord, answer: Answer) -> Figure:
    """A cell for each optimizer and shape: the best single value and of how many; darker is better.

    Raises InvalidValue where no searched trial has a value yet.
    """
    found = best_by_shape(study, answer)
    if not found:
        raise nothing_to_draw("a searched trial with a value")
    names = list(
        dict.fromkeys(row.optimizer for row in answer.by_optimizer if row.complete)
    )
    shapes = sorted({shape for _, shape in found})
    order = sorted((value for value, _ in found.values()), key=study.direction.cost)
    digits = value_digits(order, least=4)
    figure = new_figure(max(5.6, 2.0 + 1.5 * len(shapes)), _HEAD + _ROW * len(names))
    panel = figure.subplots()
    for row, name in enumerate(names):
        for column, shape in enumerate(shapes):
            if (name, shape) not in found:
                continue
            value, trials = found[name, shape]
            dark = 0.08 + 0.5 * (1 - order.index(value) / max(1, len(order) - 1))
            panel.barh(row, 0.96, 0.92, left=column - 0.48, color="#0072B2", alpha=dark)
            text = f"{value_text(value, digits)}  ({trials})"
            panel.text(
                column, row, text, ha="center", va="center", color=BLACK, fontsize=9
            )
    panel.set_xlim(-0.5, len(shapes) - 0.5)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xticks(range(len(shapes)), shapes)
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(length=0, labeltop=True, labelbottom=False)
    panel.spines[:].set_visible(False)
    finish(
        figure,
        f"{study.name}: the best single {study.facts.objective} (of so many trials)",
    )
    return figure
