"""How a model's variables lie in a row: trained weights side by side, the others each by itself.

A row is a trial. R rows: `weights` (R, parameters) in the weights' type; `rest`, a
tensor (R, ...) for each variable that is not trained (statistics, and at the end the
seeds); `metrics`, a tensor (R, ...) for each variable of the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias, final

import keras
import numpy as np
import tensorflow as tf

from lrsearch.engine._keras_state import adopt_seed_generator
from lrsearch.engine.limits import (
    CONSTRAINTS,
    MIXED_TYPES,
    CannotCarry,
    check_same_model,
)
from lrsearch.engine.types import Model, Tensor, Variable

RowArrays: TypeAlias = tuple[np.ndarray, list[np.ndarray]]
"""One row: `weights` (1, parameters) and `rest`, each (1, ...)."""


@final
class RowLayout:
    """The layout of one built model, whose metrics have their variables; see the module."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.seeds = keras.random.SeedGenerator(0)
        self.trainable: list[Variable] = list(model.trainable_variables)
        self.rest: list[Variable] = [*model.non_trainable_variables, self.seeds.state]
        self.metrics: list[Variable] = list(model.metrics_variables)
        self.sizes = [math.prod(each.shape) for each in self.trainable]
        self._unmetered = [each.numpy() for each in self.metrics]
        kinds = {str(each.dtype) for each in self.trainable}
        if len(kinds) != 1:
            raise CannotCarry(MIXED_TYPES, ", ".join(sorted(kinds)) or "none")
        if any(each.constraint is not None for each in self.trainable):
            raise CannotCarry(CONSTRAINTS)

    def start(self, fresh: Model, seed_state: np.ndarray) -> RowArrays:
        """A fresh, built model's start values as a row."""
        kept = [*self.trainable, *self.rest[:-1]]
        given = [*fresh.trainable_variables, *fresh.non_trainable_variables]
        check_same_model(kept, given)
        return self._row([*(each.numpy() for each in given), seed_state])

    def unmetered(self, rows: int | Tensor) -> list[Tensor]:
        """The metrics' variables before a first batch, each (rows, ...)."""
        return [tf.broadcast_to(each, [rows, *each.shape]) for each in self._unmetered]

    def to_arrays(
        self, weights: np.ndarray, rest: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Name a row's arrays as a snapshot does: by place in `model.variables`.

        weights: (parameters,); rest: the row's values, without an axis of rows.
        """
        parts = np.split(weights, np.cumsum(self.sizes)[:-1])
        pairs = zip(parts, self.trainable, strict=True)
        values = [*(part.reshape(each.shape) for part, each in pairs), *rest]
        return dict(zip(self._names(), values, strict=True))

    def to_variables(
        self, weights: np.ndarray, rest: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """A row's values in the order of `model.variables`; takes what `to_arrays` does."""
        arrays = self.to_arrays(weights, rest)
        return [arrays[f"model/{place}"] for place in range(len(self.model.variables))]

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> RowArrays:
        """Make a row of a snapshot's arrays, as `to_arrays` named them."""
        return self._row([arrays[name] for name in self._names()])

    def _names(self) -> list[str]:
        """The names in a snapshot of the trained weights and of the rest, in a row's order."""
        names = {
            id(each): f"model/{place}"
            for place, each in enumerate(self.model.variables)
        }
        names[id(self.seeds.state)] = "seed/0"
        return [names[id(each)] for each in (*self.trainable, *self.rest)]

    def _row(self, values: Sequence[np.ndarray]) -> RowArrays:
        """A row of these values of the trained weights and of the rest."""
        count = len(self.trainable)
        flat = np.concatenate([np.ravel(each) for each in values[:count]])
        return flat[None], [np.asarray(each)[None] for each in values[count:]]

    def unflatten(self, flat: Tensor) -> list[Tensor]:
        """Bring a row's weights, (parameters,), into the shapes of the model's."""
        pairs = zip(tf.split(flat, self.sizes), self.trainable, strict=True)
        return [tf.reshape(part, each.shape) for part, each in pairs]

    def scope(
        self,
        weights: Sequence[Tensor],
        rest: Sequence[Tensor],
        metrics: Sequence[Tensor],
    ) -> keras.StatelessScope:
        """Give the model's variables a row's values within the scope."""
        variables = [*self.trainable, *self.rest, *self.metrics]
        adopt_seed_generator(self.seeds)
        pairs = list(zip(variables, [*weights, *rest, *metrics], strict=True))
        return keras.StatelessScope(state_mapping=pairs, collect_losses=True)
