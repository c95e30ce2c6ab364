"""The list of settings that every contender trains: seeded, the same for all, and a
longer list begins with the shorter one.

Plain values: knows neither Keras nor lrsearch, since the peers run where lrsearch is
not installed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

# Where a practitioner starts; rates are drawn from a thirtieth of it up to it. Larger
# ones may diverge, and a trial that stops early is no trial here.
REFERENCE = {
    "sgd": 1e-1,
    "momentum": 1e-2,
    "adagrad": 1e-2,
    "rmsprop": 1e-3,
    "adam": 1e-3,
}
SPREAD = 30.0
SCHEDULES = ("constant", "linear", "cosine")
# fractions of the run; only under a cosine, the one shape whose Keras schedule has a
# warm-up
WARMUPS = (0.0, 0.1)
BLOCK = 2 * len(REFERENCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One setting and the seed of its start values."""

    optimizer: str
    learning_rate: float
    schedule: str
    warmup: float
    seed: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def points(count: int, seed: int = 0) -> list[Point]:
    """The first `count` settings.

    Each ten have every optimizer twice, side by side: two workers then meet all of them
    early.
    """
    random = np.random.default_rng(seed)
    found: list[Point] = []
    while len(found) < count:
        for optimizer in random.permutation(list(REFERENCE)):
            found += [
                _point(random, str(optimizer), len(found) + place) for place in range(2)
            ]
    return found[:count]


def _point(random: np.random.Generator, optimizer: str, number: int) -> Point:
    rate = REFERENCE[optimizer] * math.exp(-random.uniform(0.0, math.log(SPREAD)))
    schedule = str(random.choice(SCHEDULES))
    warmup = float(random.choice(WARMUPS))
    return Point(
        optimizer=optimizer,
        learning_rate=rate,
        schedule=schedule,
        warmup=warmup if schedule == "cosine" else 0.0,
        seed=number,
    )
