"""The axis of rates: what a peak rate is relative to, so that all trials stand on one axis.

A peak rate is divided by what suits its optimizer, batch size and momentum under a
constant schedule, and by the gain of its schedule. So the optimizer's reference rate on
a constant schedule stands at 1, as does the peak on another shape that does as much.
People see real rates. Knows settings; nothing of Optuna and Keras.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np

from lrsearch.space.optimizers import OPTIMIZERS
from lrsearch.space.schedules import multiplier_of
from lrsearch.values import Setting

Range: TypeAlias = tuple[float, float]

RATE: Final = "lr_over_reference"  # the axis' name among the sampler's dimensions
AXIS: Final = (1e-4, 1e4)  # wider than every range, and the same in every study
# Updates of the run that a gain is reckoned for. The closed form grows with the run's
# length (a linear decay: 2.4 at 100, 2.7 at 400, 3.3 at 10,000); real runs say 2 to 2.5
# whatever the length.
GAIN_STEPS: Final = 400
_LEAST = 1e-6  # a multiplier of zero would divide by zero


def unit_rate(setting: Setting, base_batch: int | None) -> float:
    """The peak rate that stands at 1 on the axis, for all of `setting` but its rate.

    `base_batch` is the batch size that the reference rates hold for.
    """
    spec = OPTIMIZERS[setting.optimizer]
    scale = spec.batch_scale(setting.batch_size, base_batch) * spec.momentum_scale(
        setting.hyper
    )
    return spec.reference * scale * gain_of(setting)


def rate_range(
    setting: Setting,
    *,
    asked: Mapping[str, Range],
    base: int | None,
    reach: Mapping[str, Range] | None = None,
) -> Range:
    """The lowest and highest peak rate to try, for all of `setting` but its rate.

    Rates that were `asked` for the optimizer are real peak rates. Others follow from
    the table or from `reach`, a range on the axis by optimizer.
    """
    name = setting.optimizer
    if name in asked:
        return asked[name]
    spec, unit = OPTIMIZERS[name], unit_rate(setting, base)
    low, high = (reach or {}).get(name) or table_range(name)
    return low * unit, min(high * unit, spec.clamp)


def table_range(optimizer: str) -> Range:
    """The table's range of rates on the axis."""
    spec = OPTIMIZERS[optimizer]
    return spec.low / spec.reference, spec.high / spec.reference


def gain_of(setting: Setting) -> float:
    """How many times a constant rate's best the peak of this schedule may be.

    From the bound on the last iterate of gradient descent on convex problems (Schaipp
    et al. 2025, The surprising agreement between convex optimization theory and
    learning-rate scheduling): with multipliers e_1 to e_T, and S_t, Q_t the sums of e
    and of e^2 from t to T, A = Q_1 + S_1 * sum over t < T of e_t Q_t / (S_(t+1) S_t).
    The best peak falls as 1 / sqrt(A).
    """
    return _gain(setting.schedule, tuple(sorted(setting.shape.items())))


@lru_cache(maxsize=16_384)
def _gain(schedule: str, shape: tuple[tuple[str, float], ...]) -> float:
    setting = Setting(
        optimizer="",
        learning_rate=1.0,
        schedule=schedule,
        batch_size=None,
        shape=dict(shape),
    )
    steps = np.arange(GAIN_STEPS, dtype=np.float64)
    curve = np.asarray(multiplier_of(np, setting, steps, GAIN_STEPS))
    return math.sqrt(_bound(np.ones(GAIN_STEPS)) / _bound(curve))


def _bound(curve: np.ndarray) -> float:
    """A of `gain_of` for a curve of multipliers, (steps,) float64."""
    rates = np.maximum(curve, _LEAST)
    sums = np.cumsum(rates[::-1])[::-1]
    squares = np.cumsum(rates[::-1] ** 2)[::-1]
    terms = rates[:-1] * squares[:-1] / (sums[1:] * sums[:-1])
    return float(squares[0] + sums[0] * terms.sum())


def fold(value: float, low: float, high: float) -> float:
    """`value` reflected into [low, high] on a log axis; clipping would pile up at the edges."""
    if low <= value <= high:
        return value
    span = math.log(high / low)
    if span == 0:
        return low
    place = math.log(value / low) % (2 * span)
    return min(max(low * math.exp(min(place, 2 * span - place)), low), high)
