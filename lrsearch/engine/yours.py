"""Describes the user's own compile as a setting, and its rate over the run, for people to read."""

from __future__ import annotations

import numpy as np

from lrsearch.engine._keras_optimizer import current_rate, schedule_of
from lrsearch.engine.types import Optimizer
from lrsearch.keras import Schedule
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
_SAMPLES = 1000  # of the schedule, for its largest rate
_DRAWN = 200  # of them, for a picture: six pixels apart in one of 1,200


def describe(optimizer: Optimizer, *, rates: np.ndarray, batch_size: int | None) -> Setting:
    """Describe the user's compile as a setting: optimizer, largest rate over the run, schedule.

    Optimizer and schedule have their names in our tables, else those of their classes. `rates` are
    those of `sample_rates`.
    """
    known = {name: getattr(optimizer, name, None) for name in ("momentum", "weight_decay")}
    return Setting(
        optimizer=optimizer_name(optimizer),
        learning_rate=float(rates.max()),
        schedule=_schedule_name(optimizer),
        batch_size=batch_size,
        hyper={name: float(each) for name, each in known.items() if isinstance(each, int | float)},
    )


def optimizer_name(optimizer: Optimizer) -> str:
    """Name the optimizer as our table does, else by its class."""
    kind = type(optimizer).__name__
    if kind == "SGD":
        momentum = float(optimizer.momentum or 0.0)
        return "sgd" if momentum == 0 else "nesterov" if optimizer.nesterov else "momentum"
    return next((name for name, spec in OPTIMIZERS.items() if spec.keras == kind), kind)


def _schedule_name(optimizer: Optimizer) -> str:
    schedule = schedule_of(optimizer)
    if schedule is None:
        return "constant"  # a function counts as the rate that it returns now
    if isinstance(schedule, Schedule):
        return schedule.setting.schedule
    kind = type(schedule).__name__
    return _SCHEDULES.get(kind, kind)


def sample_rates(optimizer: Optimizer, steps: int, most: int = _SAMPLES) -> np.ndarray:
    """Sample the rate at evenly spread ones of `steps` calls of the schedule.

    Returns at most (most,), float64; (1,) without a schedule.
    """
    schedule = schedule_of(optimizer)
    if schedule is None:
        return np.asarray([current_rate(optimizer)])
    places = np.unique(np.linspace(0, steps - 1, min(steps, most)).astype(np.int64))
    return np.asarray([float(schedule(int(place))) for place in places])


def thin_out(rates: np.ndarray) -> tuple[float, ...] | None:
    """Keep as many of these rates as a picture needs, one where all are equal.

    None where a rate is infinite or NaN, which JSON does not have.
    """
    if not np.isfinite(rates).all():
        return None
    if np.ptp(rates) == 0:
        return (float(rates[0]),)
    places = np.linspace(0, len(rates) - 1, min(len(rates), _DRAWN)).round().astype(int)
    return tuple(float(f"{each:.6g}") for each in rates[places])
