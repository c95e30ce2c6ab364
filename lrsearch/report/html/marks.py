"""The marks of the figures: symbols by optimizer, crosses and arrows, and a figure's two widths.

Colours are CSS variables, so that a dark page has its own; a symbol beside each colour
tells optimizers apart where colours cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lrsearch.report.html.markup import Content, Markup, join, number, tag
from lrsearch.report.html.scales import Scale

# --k0 to --k7 in report.css: Okabe and Ito (2008), as far as paper shows them
COLOURS: Final = 8
# paths around 0, 0; about equal in area
_SYMBOLS: Final = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.8L4.5 3.4h-9z",
    "M0-5.2L4.6 0 0 5.2-4.6 0z",
    "M0-4.7L4.5-1.4 2.8 3.8h-5.6L-4.5-1.4z",
    "M-4.6-1.7h3v-3h3.2v3h3v3.2h-3v3h-3.2v-3h-3z",
    "M0 4.8L4.5-3.4h-9z",
)
# none of them is an optimizer's symbol in another colour: lines only, and none is a
# plus
_OTHERS: Final = {
    "cross": "M-4-4L4 4M-4 4L4-4",
    "tick": "M0-5v10",
    "down": "M0-5V5M-3.5 1L0 5L3.5 1",
    "up": "M0 5V-5M-3.5-1L0-5L3.5-1",
}
_KEYS: Final = (
    "Arrow keys go from mark to mark, Home and End to the first and the last."
)
_HINT: Final = "Point at a mark, or use the arrow keys, to read it here."
# class and pixels of a figure's two drawings
SIZES: Final = (("wide", 740.0), ("narrow", 356.0))


def colour_class(place: int) -> str:
    """The class of the colour of the optimizer at `place`."""
    return f"k{place % COLOURS}"


def definitions() -> Markup:
    """The symbols and the hatching that all figures of a page use."""
    paths = {f"m{place}": path for place, path in enumerate(_SYMBOLS)} | _OTHERS
    symbols = [tag("path", id=name, d=path) for name, path in paths.items()]
    line = tag("path", d="M0 6L6 0", class_="hatch")
    pattern = tag(
        "pattern", line, id="hatched", width=6, height=6, pattern_units="userSpaceOnUse"
    )
    return tag("svg", tag("defs", symbols, pattern), class_="defs", aria_hidden="true")


def symbol(
    place: int, x: float, y: float, tooltip: str = "", extra: str = ""
) -> Markup:
    """An optimizer's symbol; its tooltip is shown under the pointer."""
    return _use(
        f"m{place % len(_SYMBOLS)}",
        x,
        y,
        f"{colour_class(place)} {extra}".strip(),
        tooltip,
    )


def mark(name: str, x: float, y: float, tooltip: str = "", extra: str = "") -> Markup:
    """A `cross`, `tick`, `down` or `up`."""
    return _use(name, x, y, f"{name} {extra}".strip(), tooltip)


def swatch(inner: Content, width: int = 18) -> Markup:
    """A symbol in running text."""
    box = f"{-width / 2:g} -7 {width} 14"
    return tag(
        "svg",
        inner,
        class_="swatch",
        aria_hidden="true",
        width=width,
        height=14,
        view_box=box,
    )


def _use(name: str, x: float, y: float, classes: str, tooltip: str) -> Markup:
    title = tag("title", tooltip) if tooltip else None
    return tag("use", title, href=f"#{name}", x=x, y=y, class_=classes)


def line(
    points: Sequence[tuple[float, float]], classes: str, tooltip: str = ""
) -> Markup:
    """A line through points; of a single one, a dot."""
    if len(points) == 1:
        ((x, y),) = points
        return tag("circle", cx=x, cy=y, r=3.0, class_=f"dot {classes}")
    path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
    title = tag("title", tooltip) if tooltip else None
    return tag("path", title, d=path, class_=f"line {classes}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A drawing's area with its two scales; pixels grow downwards."""

    x: Scale
    y: Scale
    parts: list[Markup] = field(default_factory=list)

    @property
    def ends(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.x.start, self.y.end, self.x.end, self.y.start

    def add(self, *content: Content) -> None:
        """Draw above what is there."""
        self.parts.append(join(content))

    def axes(
        self, x_label: str, y_label: str, *, x_ticks: int = 6, y_ticks: int = 5
    ) -> None:
        """Draw the grid, its numbers and what they are."""
        left, top, right, bottom = self.ends
        for value, text in self.y.ticks(y_ticks) if y_ticks else ():
            at = self.y.at(value)
            self.add(tag("line", x1=left, x2=right, y1=at, y2=at, class_="grid"))
            self.add(tag("text", text, x=left - 6, y=at + 4, class_="end"))
        for value, text in self.x.ticks(x_ticks):
            at = self.x.at(value)
            self.add(tag("line", x1=at, x2=at, y1=top, y2=bottom, class_="grid"))
            self.add(tag("text", text, x=at, y=bottom + 16, class_="middle"))
        self.add(
            tag(
                "rect",
                x=left,
                y=top,
                width=right - left,
                height=bottom - top,
                class_="edge",
            )
        )
        if x_label:
            middle = (left + right) / 2
            self.add(
                tag("text", x_label, x=middle, y=bottom + 34, class_="middle label")
            )
        self.add(tag("text", y_label, x=left, y=top - 8, class_="label"))


def panel(
    x: tuple[float, float, bool] | Scale, y: Scale, *, left: float, right: float
) -> Panel:
    """A panel from pixel `left` to `right`; x are lowest, highest and whether logarithmic."""
    if isinstance(x, Scale):
        return Panel(x=x, y=y)
    low, high, log = x
    return Panel(x=Scale(low=low, high=high, start=left, end=right, log=log), y=y)


def drawing(
    parts: Content, *, width: float, height: float, label: str, classes: str
) -> Markup:
    """An SVG of that size; its label is for those who do not see it."""
    size = f"0 0 {number(width)} {number(height)}"
    return tag(
        "svg", parts, view_box=size, role="img", aria_label=label, class_=classes
    )


def both_sizes(draw: Callable[[float], tuple[Content, float]], label: str) -> Markup:
    """A figure drawn for wide and for narrow screens; CSS shows one of the two.

    Where its marks have tooltips, the figure is one stop of the Tab key. Arrow keys go
    from mark to mark there, and a line below shows the tooltip of each (report.js).
    """
    found = []
    for classes, width in SIZES:
        parts, height = draw(width)
        found.append(
            drawing(parts, width=width, height=height, label=label, classes=classes)
        )
    if not any("<title>" in each for each in found):
        return join(found)
    named = f"{label}. {_KEYS}"
    figure = tag(
        "div", found, class_="marks", tabindex="0", role="application", aria_label=named
    )
    return join([figure, tag("p", _HINT, class_="reading", role="status")])
