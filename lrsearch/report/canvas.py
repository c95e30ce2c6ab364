"""A figure without a display, its colours, and texts that are fitted to its width.

Knows matplotlib and nothing of studies. matplotlib cuts what is wider than a figure, so
widths are measured first.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from lrsearch.errors import EnvironmentProblem, InvalidValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: distinct under every common colour blindness. Dashes and widths
# distinguish lines without colour.
BLACK, GREY, BLUE, GREEN, VERMILION = (
    "#000000",
    "#6e6e6e",
    "#0072B2",
    "#009E73",
    "#D55E00",
)
# the first line is the widest and the lowest: where another line equals it, its edges
# still show
LINES: Final[Sequence[Mapping[str, Any]]] = (
    {"color": "#0072B2", "ls": "-", "lw": 4.2},
    {"color": "#E69F00", "ls": "-", "lw": 3.0},
    {"color": "#009E73", "ls": "-", "lw": 2.2},
    {"color": "#CC79A7", "ls": "-", "lw": 1.8},
    {"color": "#D55E00", "ls": (0, (6, 2)), "lw": 1.4},
)
YOURS: Final[Mapping[str, Any]] = {"color": BLACK, "ls": (0, (2, 1.6)), "lw": 1.6}
# names are the user's: a dollar in one begins no formula
AS_IT_IS: Final[Mapping[str, Any]] = {"parse_math": False}
_LEGEND_SIZE = 8.5
_FILLED = 0.96  # of the figure's width may be text
_FEWEST = 12  # characters to a line, however narrow the figure


def nothing_to_draw(what: str) -> InvalidValue:
    """Make the error of a picture of a study that has not got `what` yet."""
    fix = "Let the study go on: lrsearch status shows how far it is."
    got, allowed = f"a study without {what}", f"of a study with {what}"
    return InvalidValue("plot", got=got, allowed=allowed, fix=fix)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches. Raises EnvironmentProblem without matplotlib."""
    try:
        from matplotlib.figure import Figure as Drawn
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "pictures need matplotlib:", fix="pip install 'lrsearch[plot]'"
        ) from None

    class NotebookFigure(Drawn):
        """A figure that a notebook shows without pyplot, which else teaches it to."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    return figure


def finish(figure: Figure, title: str, *, order: Sequence[str] = ()) -> None:
    """Set the title above all panels and one legend below them, and make room for both.

    The figure grows, so that panels keep their height. The labels in `order` come last
    in the legend, in this order.
    """
    shown = figure.suptitle(
        fit_text(figure, title, size=12.0, room=_FILLED * _width(figure)), **AS_IT_IS
    )
    legend = _one_legend(figure, order)
    texts = shown.get_window_extent().height + legend.get_window_extent().height
    figure.set_figheight(figure.get_figheight() + texts / figure.dpi)


def set_ylabel(figure: Figure, panel: Axes, text: str, *, height: float) -> None:
    """Label the vertical axis of a panel of `height` inches, in several lines where needed."""
    panel.set_ylabel(
        fit_text(figure, text, size=10.0, room=0.7 * height * figure.dpi), **AS_IT_IS
    )


def _one_legend(figure: Figure, order: Sequence[str]) -> Any:
    """One legend for all panels, in as many columns as fit; in a panel it would hide trials."""
    found: dict[str, Any] = {}
    for panel in figure.axes:
        handles, labels = panel.get_legend_handles_labels()
        found |= {
            label: handle
            for handle, label in zip(handles, labels, strict=True)
            if label not in found
        }
    ordered = sorted(
        found, key=lambda label: order.index(label) if label in order else -1
    )
    handles = [found[label] for label in ordered]
    for columns in range(len(ordered), 0, -1):
        legend = _legend(figure, handles, ordered, columns)
        if legend.get_window_extent().width <= _FILLED * _width(figure):
            return legend
        legend.remove()
    room = 0.85 * _width(figure)  # the rest is the handles'
    return _legend(
        figure,
        handles,
        [fit_text(figure, each, size=_LEGEND_SIZE, room=room) for each in ordered],
        1,
    )


def _legend(
    figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int
) -> Any:
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        fontsize=_LEGEND_SIZE,
        frameon=False,
        handlelength=3.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend


def _width(figure: Figure) -> float:
    return figure.get_figwidth() * figure.dpi


def fit_text(figure: Figure, text: str, *, size: float, room: float) -> str:
    """Break `text` so that no line is wider than `room` pixels.

    Breaks stand between words, else after an underscore.
    """
    wide = _text_width(figure, text, size)
    if wide <= room:
        return text
    fit = max(_FEWEST, int(len(text) * room / wide))
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > fit:
            lines.append("")
        *full, last = _pieces(word, fit)
        lines[-1:] = (
            [*(lines[-1:] if lines[-1] else []), *full, last + " "]
            if full
            else [lines[-1] + last + " "]
        )
    return "\n".join(line.rstrip() for line in lines)


def _pieces(word: str, longest: int) -> list[str]:
    """A word in pieces of at most `longest` characters, cut after underscores if it has any."""
    pieces = []
    while len(word) > longest:
        cut = word.rfind("_", 0, longest) + 1 or longest
        pieces.append(word[:cut])
        word = word[cut:]
    return [*pieces, word]


def _text_width(figure: Figure, text: str, size: float) -> float:
    shown = figure.text(0, 0, text, fontsize=size, **AS_IT_IS)
    width: float = shown.get_window_extent().width
    shown.remove()
    return width
