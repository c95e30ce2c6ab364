"""One axis of a search, as plain data: what Optuna calls a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from lrsearch.errors import InvalidValue
from lrsearch.space.knobs import Knob
from lrsearch.values import Json

Range: TypeAlias = tuple[float, float]

PUBLIC_AXIS = (1e-9, 1e4)  # of learning_rate, where people read it


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """A float or int range (`low` and `high` included), or a choice."""

    name: str
    kind: str  # "float", "int" or "categorical"
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Json, ...] = ()

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    def canonical(self) -> Json:
        """The value of a knob that has no effect: the first choice, or the middle of the range."""
        if self.kind == "categorical":
            return self.choices[0]
        if self.log:
            return math.sqrt(self.low * self.high)
        middle = (self.low + self.high) / 2
        return int(middle) if self.kind == "int" else middle


def knob_dimension(name: str, knob: Knob, between: Sequence[float]) -> Dimension:
    kind = "int" if knob.whole else "float"
    return Dimension(
        name=name, kind=kind, low=between[0], high=between[1], log=knob.log
    )


def extra_dimension(name: str, value: Any) -> Dimension:
    """The axis of a value for `build_model(params)`: a list of choices, or a (low, high) pair."""
    if isinstance(value, list) and value:
        return Dimension(name=name, kind="categorical", choices=tuple(value))
    if (
        isinstance(value, tuple)
        and len(value) == 2  # noqa: PLR2004 - low and high
        and all(map(is_number, value))
        and value[0] < value[1]
    ):
        whole = all(isinstance(each, int) for each in value)
        return Dimension(
            name=name, kind="int" if whole else "float", low=value[0], high=value[1]
        )
    raise InvalidValue(
        f"extra[{name!r}]",
        got=value,
        allowed="a (low, high) pair of numbers or a list of choices",
    )


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, which a boolean is not."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def extra_from_json(value: Json) -> Any:
    """A value of `extra` from the command line's {"between": [low, high]} or {"choices": [...]}."""
    return tuple(value["between"]) if "between" in value else list(value["choices"])


def fixed_or(given: float | Range, sampled: float | None) -> float:
    if not isinstance(given, tuple):
        return given
    return float(given[0] if sampled is None else sampled)
