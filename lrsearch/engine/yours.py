"""Describes the user's own compile as a setting, for people to read."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrsearch.engine import _keras
from lrsearch.engine.compiling import inner
from lrsearch.space import OPTIMIZERS
from lrsearch.values import Setting

_SCHEDULES = {
    "CosineDecay": "cosine",
    "CosineDecayRestarts": "cosine_restarts",
    "ExponentialDecay": "exponential",
    "InverseTimeDecay": "inverse_time",
    "PiecewiseConstantDecay": "step",
    "PolynomialDecay": "polynomial",
}
_LOOKS = 1000  # at the schedule, for its largest rate


def describe(model: Any, *, total_steps: int, accumulation: int, batch_size: int | None) -> Setting:
    """The optimizer's name in our table (else its class), its largest rate over the run, its schedule's name (else its class)."""
    optimizer = inner(model.optimizer)
    rate = _keras.rate_of(optimizer)
    scheduled = callable(rate) and not _keras.rate_is_function(optimizer)
    known = {name: getattr(optimizer, name, None) for name in ("momentum", "weight_decay")}
    return Setting(
        optimizer=optimizer_name(optimizer),
        learning_rate=peak(rate, total_steps * accumulation) if scheduled else _keras.number(optimizer.learning_rate),
        schedule=_schedule_name(rate) if scheduled else "constant",  # a function of nothing counts as what it says now
        batch_size=batch_size,
        hyper={name: float(value) for name, value in known.items() if isinstance(value, int | float)},
    )


def optimizer_name(optimizer: Any) -> str:
    """The name in our table that comes nearest."""
    kind = type(optimizer).__name__
    if kind == "SGD":
        momentum = float(optimizer.momentum or 0.0)
        return "sgd" if momentum == 0 else "nesterov" if optimizer.nesterov else "momentum"
    return next((name for name, spec in OPTIMIZERS.items() if spec.keras == kind and kind != "SGD"), kind)


def peak(schedule: Any, steps: int) -> float:
    """The largest rate over `steps`, looked at in at most a thousand places."""
    places = np.unique(np.linspace(0, steps - 1, min(steps, _LOOKS)).astype(np.int64))
    return max(float(schedule(int(place))) for place in places)


def _schedule_name(schedule: Any) -> str:
    ours = getattr(schedule, "setting", None)
    return ours.schedule if isinstance(ours, Setting) else _SCHEDULES.get(type(schedule).__name__, type(schedule).__name__)
