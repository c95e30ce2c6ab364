"""Scales: from values to pixels, with ticks that people read. Knows nothing of studies or SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.answer.words import rate_text

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_WIDE = 30.0  # highest over lowest: from here on a logarithmic scale shows more
_FEW_DECADES = 1.4  # below this many, 2 and 5 are ticks too


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Maps `low` to pixel `start` and `high` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False  # ticks at whole numbers alone

    def at(self, value: float) -> float:
        """The pixel of a value; values outside lie at the nearer end."""
        low = self._turn(self.low)
        high = self._turn(self.high)
        inner = self._turn(value)
        part = (inner - low) / (high - low) if high > low else 0.5
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale."""
        return self.low <= value <= self.high

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """At most about `most` places with their labels."""
        if self.log:
            return [
                (each, _log_label(each))
                for each in _log_ticks(self.low, self.high, most)
            ]
        found = _linear_ticks(self.low, self.high, most, whole=self.whole)
        digits = _digits(found)
        return [(each, _label(each, digits)) for each in found]

    def _turn(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value


def rate_scale(rates: Sequence[float], start: float, end: float) -> Scale:
    """A logarithmic scale with room for all `rates`."""
    middle = math.sqrt(min(rates) * max(rates))
    span = max(max(rates) / middle * 1.5, 8.0)
    return Scale(low=middle / span, high=middle * span, start=start, end=end, log=True)


def value_scale(low: float, high: float, start: float, end: float) -> Scale:
    """A scale of values from `low` to `high`, with some room; logarithmic where they span far."""
    if low > 0 and high / low > _WIDE:
        room = (high / low) ** 0.05
        return Scale(low=low / room, high=high * room, start=start, end=end, log=True)
    pad = 0.06 * (high - low) or 0.05 * (abs(high) or 1.0)
    return Scale(low=low - pad, high=high + pad, start=start, end=end)


def _linear_ticks(low: float, high: float, most: int, *, whole: bool) -> list[float]:
    rough = (high - low) / max(1, most - 1)
    if not rough > 0 or not math.isfinite(rough):
        return [low]
    size = 10.0 ** math.floor(math.log10(rough))
    steps = (each * size for each in _STEPS)
    step = next(
        each
        for each in steps
        if each >= rough * (1 - 1e-9) and (each.is_integer() or not whole)
    )
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    stride = max(1, math.ceil((last - first + 1) / most))
    decades = [10.0**power for power in range(first, last + 1, stride)]
    if math.log10(high / low) > _FEW_DECADES and len(decades) > 1:
        return decades
    finer = [
        part * 10.0**power for power in range(first - 1, last + 1) for part in (1, 2, 5)
    ]
    return [each for each in finer if low <= each <= high][:most]


def _log_label(value: float) -> str:
    power = round(math.log10(value))
    if not math.isclose(value, 10.0**power):
        return rate_text(value).replace(".0e", "e")
    return f"{10.0**power:g}" if -2 <= power <= 3 else f"1e{power}"  # noqa: PLR2004


def _digits(ticks: Sequence[float]) -> int:
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else abs(ticks[0])
    if not step:
        return 0
    for digits in range(10):
        if math.isclose(round(step, digits), step, rel_tol=1e-6):
            return digits
    return 10


def _label(value: float, digits: int) -> str:
    if abs(value) >= 1e6 or digits > 6:  # noqa: PLR2004
        return f"{value:.3g}"
    return f"{value:.{digits}f}" if value else "0"
