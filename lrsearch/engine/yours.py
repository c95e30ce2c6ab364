"""Describes the user's own compile as a setting, and its rate over the run, for people to read."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrsearch.engine._keras_optimizer import current_rate, inner, rate_is_function, rate_of
from lrsearch.engine.types import Model, Optimizer
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


def describe(model: Model, *, looked: np.ndarray, batch_size: int | None) -> Setting:
    """The user's compile as a setting: its optimizer, largest rate over the run, and schedule.

    Optimizer and schedule have their names in our tables, else those of their classes. `looked` is
    what `look_at_rates` found.
    """
    optimizer = inner(model.optimizer)
    rate = rate_of(optimizer)
    scheduled = callable(rate) and not rate_is_function(optimizer)
    known = {name: getattr(optimizer, name, None) for name in ("momentum", "weight_decay")}
    hyper = {name: float(each) for name, each in known.items() if isinstance(each, int | float)}
    return Setting(
        optimizer=optimizer_name(optimizer),
        learning_rate=float(looked.max()),
        # a function of nothing counts as what it says now
        schedule=_schedule_name(rate) if scheduled else "constant",
        batch_size=batch_size,
        hyper=hyper,
    )


def optimizer_name(optimizer: Optimizer) -> str:
    """The name in our table that comes nearest."""
    kind = type(optimizer).__name__
    if kind == "SGD":
        momentum = float(optimizer.momentum or 0.0)
        return "sgd" if momentum == 0 else "nesterov" if optimizer.nesterov else "momentum"
    return next((name for name, spec in OPTIMIZERS.items() if spec.keras == kind), kind)


def look_at_rates(model: Model, steps: int) -> np.ndarray:
    """The rate at evenly spread ones of `steps` calls of the schedule.

    At most (1000,), float64; (1,) without a schedule.
    """
    optimizer = inner(model.optimizer)
    rate = rate_of(optimizer)
    if rate_is_function(optimizer) or not callable(rate):
        return np.asarray([current_rate(optimizer)])
    places = np.unique(np.linspace(0, steps - 1, min(steps, _LOOKS)).astype(np.int64))
    return np.asarray([float(rate(int(place))) for place in places])


def kept_rates(looked: np.ndarray) -> tuple[float, ...] | None:
    """As many of these rates as a picture needs, one where all are equal.

    None where a rate is infinite or NaN, which JSON does not have.
    """
    if not np.isfinite(looked).all():
        return None
    if np.ptp(looked) == 0:
        return (float(looked[0]),)
    places = np.linspace(0, len(looked) - 1, min(len(looked), _KEPT)).round().astype(int)
    return tuple(float(f"{each:.6g}") for each in looked[places])


def _schedule_name(schedule: Any) -> str:
    ours = getattr(schedule, "setting", None)
    if isinstance(ours, Setting):
        return ours.schedule
    kind = type(schedule).__name__
    return _SCHEDULES.get(kind, kind)
