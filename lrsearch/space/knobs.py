"""A knob: a named number with a default, a range to search it in, and the axis that suits it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Knob:
    """A number that is fixed at `default` unless a search between `low` and `high` is asked for."""

    default: float
    low: float
    high: float
    log: bool = False
    whole: bool = False  # an integer
