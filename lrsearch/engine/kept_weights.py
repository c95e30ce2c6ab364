"""Which weights a run is evaluated at, and which it ends with.

ScheduleFreeAdamW is evaluated at averaged weights.
`EarlyStopping(restore_best_weights=True)`, and callbacks like it, put an earlier
epoch's weights back when training is over. A value must be that of the weights that are
kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import final

import keras
import numpy as np
from keras import ops

from lrsearch.engine._keras_optimizer import (
    averaged_weights,
    holds_moving_average,
    inner,
)
from lrsearch.engine.attempt import Attempt
from lrsearch.engine.types import Logs, Model, Tensor, Variable


@final
class AveragedEvaluation:
    """Evaluates ScheduleFreeAdamW at its averaged weights; training goes on at its own.

    The averaged weights are what this optimizer optimises. `begin` comes before the
    user's callbacks and `end` after them, so that whatever they swap for a validation
    is undone first.
    """

    def __init__(self) -> None:
        self.begin = keras.callbacks.LambdaCallback()
        self.end = keras.callbacks.LambdaCallback()
        self.begin.on_test_begin = self._average
        self.end.on_test_end = self._put_back
        self.kept: dict[int, Tensor] = {}  # the trained weights, by the variable's id

    def _average(self, logs: Logs = None) -> None:
        del logs
        model = self.begin.model
        averaged = averaged_weights(inner(model.optimizer), model.trainable_variables)
        if averaged is not None:
            self.kept = {id(each): ops.copy(each) for each in model.trainable_variables}
            _assign(model.trainable_variables, averaged)

    def _put_back(self, logs: Logs = None) -> None:
        del logs
        if self.kept:
            _assign(self.begin.model.trainable_variables, list(self.kept.values()))
            self.kept = {}


@final
class KeptWeights(keras.callbacks.Callback):
    """Remembers by digest which weights each epoch validated.

    Comes first in the list: it sees an epoch's weights before a callback swaps others
    in for the validation.
    """

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()
        self._attempt = attempt
        self._validated: dict[str, int] = {}  # epochs, from 1, by their weights' digest
        self._last = ""

    def on_test_begin(self, logs: Logs = None) -> None:
        del logs
        self._last = digest_weights(self.model.weights)
        self._validated[self._last] = self._attempt.epoch + 1

    def has_changed(self, model: Model) -> bool:
        """Whether the finished model has neither the last epoch's weights nor their average."""
        return digest_weights(model.weights) != self._last and not holds_moving_average(
            model
        )

    def epoch_of(self, model: Model) -> int | None:
        """The last epoch, from 1, that validated the model's weights."""
        return self._validated.get(digest_weights(model.weights))


def digest_weights(weights: Sequence[Variable]) -> str:
    """Hash the values of weights: equal for equal values of the same shapes."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in weights:
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()


def _assign(variables: Sequence[Variable], values: Sequence[Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
