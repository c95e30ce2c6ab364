"""How a model's variables lie in a row: trained weights side by side, the others each by itself.

A row is a trial. R rows: `weights` (R, parameters) in the weights' type; `rest`, a tensor (R, ...)
for each variable that is not trained (statistics, and at the end the seeds); `metrics`, a tensor
(R, ...) for each variable of the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import keras
import numpy as np
import tensorflow as tf

from lrsearch.engine._keras_state import adopt_seed_generator
from lrsearch.engine.types import Model, Tensor, Variable
from lrsearch.engine.ways import CONSTRAINTS, MIXED_TYPES, OTHER_MODEL, CannotCarry


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
            named = ", ".join(sorted(kinds)) or "none"
            raise CannotCarry(MIXED_TYPES, named)
        if any(each.constraint is not None for each in self.trainable):
            raise CannotCarry(CONSTRAINTS)

    def start(self, fresh: Model, seed_state: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """A fresh, built model's start values as one row: weights and rest."""
        kept = [*self.trainable, *self.rest[:-1]]
        given = [*fresh.trainable_variables, *fresh.non_trainable_variables]
        if [tuple(each.shape) for each in kept] != [tuple(each.shape) for each in given]:
            raise CannotCarry(OTHER_MODEL)
        others = [each.numpy() for each in fresh.non_trainable_variables]
        return _row([each.numpy() for each in fresh.trainable_variables], [*others, seed_state])

    def unmetered(self, rows: int | Tensor) -> list[Tensor]:
        """The metrics' variables before a first batch, each (rows, ...)."""
        return [tf.broadcast_to(each, [rows, *each.shape]) for each in self._unmetered]

    def to_arrays(self, weights: np.ndarray, rest: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """A row as a snapshot names the model's variables: by place in `model.variables`.

        `weights` is (parameters,); `rest` has a row's values.
        """
        parts = np.split(weights, np.cumsum(self.sizes)[:-1])
        shaped = [
            part.reshape(each.shape) for part, each in zip(parts, self.trainable, strict=True)
        ]
        by_id = dict(zip(map(id, [*self.trainable, *self.rest]), [*shaped, *rest], strict=True))
        return {
            f"model/{place}": by_id[id(each)] for place, each in enumerate(self.model.variables)
        }

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The other way: a row from a snapshot."""
        by_id = {
            id(each): arrays[f"model/{place}"] for place, each in enumerate(self.model.variables)
        }
        by_id[id(self.seeds.state)] = arrays["seed/0"]
        return _row(
            [by_id[id(each)] for each in self.trainable], [by_id[id(each)] for each in self.rest]
        )

    def unflatten(self, flat: Tensor) -> list[Tensor]:
        """A row's weights (parameters,) in the shapes of the model's."""
        parts = tf.split(flat, self.sizes)
        return [
            tf.reshape(part, each.shape) for part, each in zip(parts, self.trainable, strict=True)
        ]

    def scope(
        self, weights: Sequence[Tensor], rest: Sequence[Tensor], metrics: Sequence[Tensor]
    ) -> keras.StatelessScope:
        """Within it the model's variables have a row's values."""
        variables = [*self.trainable, *self.rest, *self.metrics]
        adopt_seed_generator(self.seeds)
        pairs = list(zip(variables, [*weights, *rest, *metrics], strict=True))
        return keras.StatelessScope(state_mapping=pairs, collect_losses=True)


def _row(
    weights: Sequence[np.ndarray], rest: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    flat = np.concatenate([np.ravel(each) for each in weights])
    return flat[None], [np.asarray(each)[None] for each in rest]
