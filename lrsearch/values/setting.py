"""One point of the search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from lrsearch.jsonable import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One point of the search: what distinguishes two trials' trainings, but for the seed.

    `learning_rate` is the peak rate, in real units; the schedule multiplies it by a
    number in 0..1. `shape`, `hyper` and `extra` hold only what the schedule, the
    optimizer and `build_model(params)` use. For the user's own compile, `optimizer` and
    `schedule` are descriptions for people, and `learning_rate` is its largest rate over
    the run.
    """

    optimizer: str
    learning_rate: float
    schedule: str
    batch_size: int | None  # None where the user's dataset is batched already
    # warmup, final, power, ...: fractions of the run or of the peak
    shape: Mapping[str, float] = field(default_factory=dict)
    # momentum, weight_decay, ...
    hyper: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal for equal settings."""
        return json.dumps(self.to_json(), sort_keys=True)

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Setting:
        return cls(**data)
