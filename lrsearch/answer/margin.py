"""How large a difference counts: what is smaller than the margin counts as equal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrsearch.errors import InvalidValue


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """A part of the absolute value of yours, or a number in the objective's own unit.

    Yours is the measure, and not the best, so that what was chosen does not move the
    bar.
    """

    size: float
    relative: bool

    def of(self, value: float | None) -> float:
        """The margin in the objective's unit, where yours has this value."""
        return self.size * abs(value or 0.0) if self.relative else self.size

    def __str__(self) -> str:
        return (
            f"{100 * self.size:.3g} % of yours" if self.relative else f"{self.size:g}"
        )


ONE_PERCENT = Margin(size=0.01, relative=True)


def read_margin(text: str) -> Margin:
    """`0.5%` is a part of yours, `0.002` a difference of the objective. Raises InvalidValue."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        size = float(number)
    except ValueError:
        size = math.nan
    if not (math.isfinite(size) and size >= 0):
        allowed = "a percentage of yours such as 0.5%, or a difference such as 0.002"
        raise InvalidValue("--margin", got=text, allowed=allowed)
    return (
        Margin(size=size / 100, relative=True)
        if percent
        else Margin(size=size, relative=False)
    )
