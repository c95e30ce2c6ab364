"""One axis of a search, as plain data: what Optuna calls a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lrsearch.values import Json


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

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Dimension:
        return cls(**{**data, "choices": tuple(data["choices"])})
