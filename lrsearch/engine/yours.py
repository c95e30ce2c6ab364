"""Describes the user's own compile as a setting, and its rate over the run, for people to read."""

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
_KEPT = 200  # of them, for a picture: six pixels apart in one of 1,200


def describe(model: Any, *, looked: np.ndarray, batch_size: int | None) -> Setting:
    """The optimizer's name in our table (else its class), its largest rate over the run, its
    schedule's name (else its class).

    `looked` is what `look_at_rates` found.
    """
    optimizer = inner(model.optimizer)
    rate = _keras.rate_of(optimizer)
    scheduled = callable(rate) and not _keras.rate_is_function(optimizer)
    known = {name: getattr(optimizer, name, None) for name in ("momentum", "weight_decay")}
    return Setting(
        optimizer=optimizer_name(optimizer),
        learning_rate=float(looked.max()),
        # a function of nothing counts as what it says now
        schedule=_schedule_name(rate) if scheduled else "constant",
        batch_size=batch_size,
        hyper={
            name: float(value) for name, value in known.items() if isinstance(value, int | float)
        },
    )


def optimizer_name(optimizer: Any) -> str:
    """The name in our table that comes nearest."""
    kind = type(optimizer).__name__
    if kind == "SGD":
        momentum = float(optimizer.momentum or 0.0)
        return "sgd" if momentum == 0 else "nesterov" if optimizer.nesterov else "momentum"
    return next(
        (name for name, spec in OPTIMIZERS.items() if spec.keras == kind and kind != "SGD"), kind
    )


def look_at_rates(model: Any, steps: int) -> np.ndarray:
    """The rate at evenly spread ones of `steps` calls of the schedule: (at most a thousand,)
    float64; (1,) without a schedule.
    """
    optimizer = inner(model.optimizer)
    rate = _keras.rate_of(optimizer)
    if _keras.rate_is_function(optimizer) or not callable(rate):
        return np.asarray([_keras.number(optimizer.learning_rate)])
    places = np.unique(np.linspace(0, steps - 1, min(steps, _LOOKS)).astype(np.int64))
    return np.asarray([float(rate(int(place))) for place in places])


def kept_rates(looked: np.ndarray) -> tuple[float, ...] | None:
    """As many of them as a picture needs; one where all are equal, None where one is no number that
    JSON has.
    """
    if not np.isfinite(looked).all():
        return None
    if np.ptp(looked) == 0:
        return (float(looked[0]),)
    places = np.linspace(0, len(looked) - 1, min(len(looked), _KEPT)).round().astype(int)
    return tuple(float(f"{each:.6g}") for each in looked[places])


def _schedule_name(schedule: Any) -> str:
    ours = getattr(schedule, "setting", None)
    return (
        ours.schedule
        if isinstance(ours, Setting)
        else _SCHEDULES.get(type(schedule).__name__, type(schedule).__name__)
    )
