"""Schedule shapes: pure functions from an update's index to a multiplier of the peak learning rate.

Knows nothing of Keras and Optuna. A curve is written once, over a namespace `xp` that
is NumPy here and keras.ops in the Keras schedule. Every shape is a function of progress
over the run; warm-up and the final fraction lie over every shape alike. `rates` is the
reference that every engine and export is held against, to 1e-6 of the peak.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.space.knobs import Knob
from lrsearch.values import Setting

Array = NDArray[np.float64]
Knobs = Mapping[str, float]
Curve = Callable[[Any, Any, Knobs], Any]  # (xp, progress in [0, 1), knobs) -> 1..0
# knobs -> the progress after which the curve never rises again
Rise = Callable[[Knobs], float]

# the end of a hyperbola or an exponential, which never reaches zero by itself
RATIO = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A shape: `curve` maps progress in [0, 1) to 1..0; the final fraction then lifts its foot."""

    name: str
    summary: str
    curve: Curve
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    falls: bool = True  # a constant has no final fraction
    rise: Rise = lambda _knobs: 0.0


def _constant(xp: Any, p: Any, _k: Knobs) -> Any:
    return xp.ones_like(p)


def _linear(xp: Any, p: Any, _k: Knobs) -> Any:
    return 1 - p


def _polynomial(xp: Any, p: Any, k: Knobs) -> Any:
    return (1 - p) ** k["power"]


def _cosine(xp: Any, p: Any, _k: Knobs) -> Any:
    return 0.5 * (1 + xp.cos(math.pi * p))


def _cosine_restarts(xp: Any, p: Any, k: Knobs) -> Any:
    return _cosine(xp, (p * k["cycles"]) % 1.0, k)


def _exponential(xp: Any, p: Any, _k: Knobs) -> Any:
    return RATIO**p


def _step(xp: Any, p: Any, k: Knobs) -> Any:
    # Equal parts of the run, each a tenth of the one before: He et al. 2016 divide by
    # 10.
    return 0.1 ** xp.floor(p * (k["drops"] + 1))


def _inverse_time(xp: Any, p: Any, _k: Knobs) -> Any:
    return 1 / (1 + (1 / RATIO - 1) * p)


def _inverse_sqrt(xp: Any, p: Any, _k: Knobs) -> Any:
    return 1 / xp.sqrt(1 + (1 / RATIO**2 - 1) * p)


def _one_cycle(xp: Any, p: Any, k: Knobs) -> Any:
    rise = k["rise"]
    up = 0.5 * (1 - xp.cos(math.pi * p / rise))
    return xp.where(
        p < rise, RATIO + (1 - RATIO) * up, _cosine(xp, (p - rise) / (1 - rise), k)
    )


def _warmup_stable_decay(xp: Any, p: Any, k: Knobs) -> Any:
    start = k["decay_start"]
    return xp.where(p < start, xp.ones_like(p), (1 - p) / (1 - start))


def _cyclic(xp: Any, p: Any, k: Knobs) -> Any:
    # Smith 2017's triangle, begun at its top so that no update is wasted.
    return 0.1 + 0.9 * xp.abs(2 * ((p * k["cycles"]) % 1.0) - 1)


_CYCLES = Knob(default=3, low=2, high=8, whole=True)

SHAPES: dict[str, Shape] = {
    each.name: each
    for each in (
        Shape(
            name="constant",
            summary="the peak rate throughout",
            curve=_constant,
            falls=False,
        ),
        Shape(name="linear", summary="straight down", curve=_linear),
        Shape(
            name="polynomial",
            summary="`(1 - p) ** power`",
            curve=_polynomial,
            knobs={"power": Knob(default=2.0, low=0.5, high=4.0)},
        ),
        Shape(name="cosine", summary="half a cosine", curve=_cosine),
        Shape(
            name="cosine_restarts",
            summary="`cycles` half cosines of equal length",
            curve=_cosine_restarts,
            knobs={"cycles": _CYCLES},
            rise=lambda _knobs: 1.0,
        ),
        Shape(
            name="exponential",
            summary="down by a constant factor an update, to a hundredth",
            curve=_exponential,
        ),
        Shape(
            name="step",
            summary="`drops` drops to a tenth, evenly spaced",
            curve=_step,
            knobs={"drops": Knob(default=2, low=1, high=4, whole=True)},
        ),
        Shape(
            name="inverse_time",
            summary="a hyperbola in time, to a hundredth",
            curve=_inverse_time,
        ),
        Shape(
            name="inverse_sqrt",
            summary="one over the square root of time, to a hundredth",
            curve=_inverse_sqrt,
        ),
        Shape(
            name="one_cycle",
            summary="up for a fraction `rise` of the run, then down, both cosines",
            curve=_one_cycle,
            knobs={"rise": Knob(default=0.3, low=0.1, high=0.5)},
            rise=lambda k: k.get("rise", 1.0),
        ),
        Shape(
            name="warmup_stable_decay",
            summary="level until `decay_start`, then straight down",
            curve=_warmup_stable_decay,
            knobs={"decay_start": Knob(default=0.4, low=0.2, high=0.95)},
        ),
        Shape(
            name="cyclic",
            summary="`cycles` triangles between the peak and a tenth",
            curve=_cyclic,
            knobs={"cycles": _CYCLES},
            rise=lambda _knobs: 1.0,
        ),
    )
}


def find_shape(name: str) -> Shape:
    """The shape of that name; raises UnknownName with the nearest."""
    if name not in SHAPES:
        raise UnknownName("schedule", got=name, known=SHAPES)
    return SHAPES[name]


def warmup_steps(setting: Setting, total_steps: int) -> int:
    """Updates of the warm-up: its fraction of the run, rounded, and always fewer than the run."""
    return min(round(setting.shape.get("warmup", 0.0) * total_steps), total_steps - 1)


def rise_of(setting: Setting) -> float:
    """The fraction of the run after which the rate never rises again.

    Warm-up comes first, then the shape's own rise. The fraction is 1 where the rate
    rises to the end (cyclic, restarts), and for a schedule that is not ours. Before
    this fraction, values of different schedules do not compare.
    """
    if setting.schedule not in SHAPES:
        return 1.0
    warmup = setting.shape.get("warmup", 0.0)
    return float(warmup + (1 - warmup) * SHAPES[setting.schedule].rise(setting.shape))


def multiplier_of(xp: Any, setting: Setting, index: Any, total_steps: int) -> Any:
    """The multipliers, 0..1, at update indices `index` (float64, from 0).

    The last multiplier holds beyond the run.
    """
    shape, warm = find_shape(setting.schedule), warmup_steps(setting, total_steps)
    within = xp.minimum(index, total_steps - 1.0)
    # The decay begins where the warm-up ends, so that the peak is reached whatever the
    # warm-up.
    progress = xp.maximum(within - warm, 0.0 * within) / (total_steps - warm)
    final = setting.shape.get("final", 0.0) if shape.falls else 0.0
    body = final + (1 - final) * shape.curve(xp, progress, setting.shape)
    return xp.where(within < warm, (within + 1) / max(warm, 1), body)


def rates(setting: Setting, total_steps: int) -> Array:
    """The learning rate of every update of a run: (total_steps,) float64."""
    if total_steps < 1:
        raise InvalidValue("total_steps", got=total_steps, allowed="at least 1")
    return setting.learning_rate * np.asarray(
        multiplier_of(
            np, setting, np.arange(total_steps, dtype=np.float64), total_steps
        )
    )


def rate(setting: Setting, step: int, total_steps: int) -> float:
    """The learning rate of update `step`, counted from 0."""
    return setting.learning_rate * float(
        multiplier_of(np, setting, np.asarray([step], dtype=np.float64), total_steps)[0]
    )
