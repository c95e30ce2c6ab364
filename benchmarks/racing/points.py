"""A setting as plain values, its Keras optimizer, and the space that the peers search.

The peers and the judge run where lrsearch is not installed, so nothing here needs it.
Shapes and knobs are those of lrsearch's default space, so that all tools can find the
same settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

OPTIMIZERS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {"weight_decay": 0.0}),
}
SCHEDULES = ("constant", "linear", "cosine", "warmup_stable_decay")
WARMUP, FINAL, DECAY_START = (0.0, 0.2), (0.0, 0.1), (0.2, 0.95)
# one range for all optimizers, as the tools' own tutorials write it
RATES = (1e-5, 1.0)
# Peaks that lrsearch's default space begins with, by optimizer.
OUR_RATES: Mapping[str, tuple[float, float]] = {
    "sgd": (1e-3, 3.0),
    "momentum": (1e-4, 0.3),
    "adagrad": (3e-4, 0.9),
    "rmsprop": (1e-5, 0.03),
    "adam": (1e-5, 0.03),
    "adamw": (1e-5, 0.03),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One setting; fractions of the run, and of the peak."""

    optimizer: str
    learning_rate: float
    schedule: str = "constant"
    warmup: float = 0.0
    final: float = 0.0
    decay_start: float = 0.0  # of warmup_stable_decay alone

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def multipliers(point: Point, steps: int) -> np.ndarray:
    """(steps,) float64: the share of the peak at every update; lrsearch's own formula."""
    index = np.arange(steps, dtype=float)
    warm = min(round(point.warmup * steps), steps - 1)
    done = np.maximum(index - warm, 0.0) / (steps - warm)
    start = min(point.decay_start, 1 - 1 / steps)
    body = {
        "constant": np.ones(steps),
        "linear": 1 - done,
        "cosine": 0.5 * (1 + np.cos(math.pi * done)),
        "warmup_stable_decay": np.where(done < start, 1.0, (1 - done) / (1 - start)),
    }[point.schedule]
    final = point.final if point.schedule != "constant" else 0.0
    return np.where(
        index < warm, (index + 1) / max(warm, 1), final + (1 - final) * body
    )


def optimizer_of(point: Point, steps: int) -> Any:
    """The point's Keras optimizer with its schedule over `steps` updates."""
    import keras

    class Listed(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rates = (point.learning_rate * multipliers(point, steps)).astype(
                "float32"
            )

        def __call__(self, step: Any) -> Any:
            place = keras.ops.minimum(keras.ops.cast(step, "int32"), steps - 1)
            return keras.ops.take(keras.ops.convert_to_tensor(self.rates), place)

    name, arguments = OPTIMIZERS[point.optimizer]
    return getattr(keras.optimizers, name)(Listed(), **arguments)
