"""Optimizers over many trials at once: Keras' `update_step` on a matrix with a row per trial.

A family is one structure of an optimizer: its class, and which of its terms it uses.
Its rows differ in rate, counter and hyperparameters, which reach `update_step` as
columns. Family does by row what `update_step` leaves out: clipping, decoupled decay
with its exclusions, accumulation, moving averages, Nadam's product. Keras'
StatelessScope turns the optimizer's assignments into values, so that nothing is
assigned. `_keras_rules` has what each Keras class needs beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lrsearch.engine._keras_optimizer import optimizer_state
from lrsearch.engine._keras_rules import (
    ACCUMULATED,
    ADAPTERS,
    AVERAGE,
    COUNTER,
    TRAINED,
    Column,
    build_cells,
    clip_by_norm,
    copy_by_value,
    decays,
)
from lrsearch.engine.types import Optimizer, Tensor, Variable
from lrsearch.values import Setting

State = dict[str, Any]
"""One family's rows, by the name of the optimizer's attribute.

Counters are (rows, 1), int64; slots are (rows, parameters), of the weights' dtype.
"""

COLUMNS = (
    "momentum",
    "beta_1",
    "beta_2",
    "epsilon",
    "rho",
    "weight_decay",
    "l1_regularization_strength",
    "l2_regularization_strength",
)
"""Hyperparameters that may differ between the rows of a family."""


class Family:
    """The update of rows that share one structure of an optimizer; see the module.

    `optimizer` is a built Keras optimizer of the model: the family's pattern, never
    trained. `varying` are the names of COLUMNS in which the rows differ.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        trainable: Sequence[Variable],
        varying: Sequence[str],
    ) -> None:
        self.pattern, self.varying = optimizer, tuple(varying)
        self.sizes = [math.prod(each.shape) for each in trainable]
        self.adapter = ADAPTERS[type(optimizer).__name__]
        # Two rows, whatever their later number: Keras' `add` takes a matrix of one row
        # for a bias.
        start = np.zeros((2, sum(self.sizes)))
        self.variable = keras.Variable(start, dtype=trainable[0].dtype, name="rows")
        self.rule = copy_by_value(optimizer)
        self.cells = build_cells(self.rule, self.variable)
        kept = [decays(optimizer, each) for each in trainable]
        self._decayed = None if all(kept) else np.repeat(kept, self.sizes)[None, :]

    @property
    def dtype(self) -> str:
        """The weights' dtype."""
        return str(self.variable.dtype)

    def columns(self, name: str) -> int:
        """The width of a row of this cell: the number of parameters, or 1 for a counter."""
        shape = self.cells[name].shape
        return int(shape[1]) if len(shape) else 1  # a scalar's TensorShape is truthy

    def begin(self, setting: Setting, weights: np.ndarray) -> State:
        """Make the state of one new row; weights: (1, parameters)."""
        starts = {
            name: self._start(name, cell.numpy(), setting)
            for name, cell in self.cells.items()
        }
        return starts | dict.fromkeys(self.adapter.begins_as_weights, weights)

    def _start(self, name: str, value: np.ndarray, setting: Setting) -> np.ndarray:
        """Make a cell's first row, (1, columns), of its built value or of a hyperparameter."""
        start = setting.hyper.get(self.adapter.begins_at.get(name, ""), value.flat[0])
        # Keras' Constant initializer rounds to float32.
        start = np.float32(start) if value.dtype.kind == "f" else start
        return np.full((1, self.columns(name)), start, value.dtype)

    def hyper(self, optimizers: Sequence[Optimizer]) -> np.ndarray:
        """Read the hyperparameters of these optimizers, one per row: (rows, varying), float64."""
        rows = [
            [float(getattr(each, name)) for name in self.varying] for each in optimizers
        ]
        return np.array(rows, np.float64).reshape(len(optimizers), len(self.varying))

    # -- one batch ---------------------------------------------------------------------

    def update(
        self,
        weights: Tensor,
        state: State,
        gradient: Tensor,
        rate: Tensor,
        hyper: Tensor,
    ) -> tuple[Tensor, State]:
        """Apply one batch's gradient; returns the new weights and state.

        weights, gradient: (rows, parameters) and rate: (rows, 1), of the weights'
        dtype; hyper: (rows, varying), float64.
        """
        rule = self.rule
        rule.scope = scope = keras.StatelessScope()
        for name, cell in self.cells.items():
            scope.add_update((cell, state[name]))
        scope.add_update((self.variable, weights))
        with scope, self._columns(hyper):
            if rule.gradient_accumulation_steps:
                self._accumulate(scope, gradient, rate)
            else:
                self._apply(gradient, rate)
            if rule.use_ema:
                self._average()
        new = {name: scope.get_current_value(cell) for name, cell in self.cells.items()}
        new[COUNTER] = new[COUNTER] + 1
        return scope.get_current_value(self.variable), new

    def _apply(self, gradient: Tensor, rate: Tensor) -> None:
        """Clip, decay and update, in the order of Keras' `_backend_apply_gradients`."""
        rule, variable = self.rule, self.variable
        gradient = self._clip(gradient)
        if rule.weight_decay is not None:
            # Never multiplied out: Keras computes (weights * decay) * rate.
            decay = variable * ops.cast(rule.weight_decay, variable.dtype) * rate
            if self._decayed is not None:
                decay = tf.where(self._decayed, decay, 0.0)
            rule.assign(variable, variable - decay)
        if self.adapter.before is not None:
            self.adapter.before(rule)
        rule.update_step(gradient, variable, rate)

    def _accumulate(
        self, scope: keras.StatelessScope, gradient: Tensor, rate: Tensor
    ) -> None:
        """Update a row at every k-th of its batches, by the mean gradient since the last update."""
        rule, cells = self.rule, self.cells
        steps = rule.gradient_accumulation_steps
        before = {name: scope.get_current_value(cell) for name, cell in cells.items()}
        weights, total = self.variable.value, before[ACCUMULATED] + gradient
        due = (before[COUNTER] + 1) % steps == 0  # (rows, 1), bool
        self._apply(total / steps, rate)
        rule.assign(self.variable, tf.where(due, self.variable.value, weights))
        for name, cell in cells.items():
            if name == ACCUMULATED:
                rule.assign(cell, tf.where(due, tf.zeros_like(total), total))
            elif name not in {COUNTER, AVERAGE}:
                rule.assign(cell, tf.where(due, cell.value, before[name]))

    def _clip(self, gradient: Tensor) -> Tensor:
        rule = self.rule
        if rule.clipnorm:
            parts = tf.split(gradient, self.sizes, axis=1)
            return tf.concat([clip_by_norm(rule, each) for each in parts], axis=1)
        if rule.global_clipnorm:
            norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=1, keepdims=True))
            scale = rule.global_clipnorm * tf.minimum(
                1.0 / norm, 1.0 / rule.global_clipnorm
            )
            # an infinite norm gives NaN, as in Keras
            return gradient * (scale + (norm - norm))
        if rule.clipvalue:
            return tf.clip_by_value(gradient, -rule.clipvalue, rule.clipvalue)
        return gradient

    def _average(self) -> None:
        """Keep Keras' moving average of the weights; at intervals it replaces the weights."""
        rule, variable, average = self.rule, self.variable, self.cells[AVERAGE]
        momentum = (
            ops.cast(ops.not_equal(rule.iterations, 0), variable.dtype)
            * rule.ema_momentum
        )
        rule.assign(average, momentum * average + (1 - momentum) * variable)
        if rule.ema_overwrite_frequency:
            due = (rule.iterations + 1) % rule.ema_overwrite_frequency == 0
            rule.assign(variable, tf.where(due, average.value, variable.value))

    @contextmanager
    def _columns(self, hyper: Tensor) -> Iterator[None]:
        """Replace the optimizer's hyperparameters by columns while it is traced."""
        kept = {name: getattr(self.rule, name) for name in self.varying}
        for name in self.varying:
            setattr(self.rule, name, Column(self._column(hyper, name), self.dtype))
        try:
            yield
        finally:
            for name, value in kept.items():
                setattr(self.rule, name, value)

    def _column(self, hyper: Tensor, name: str) -> Tensor:
        """Cut out one hyperparameter: (rows, 1), float64."""
        place = self.varying.index(name)
        return hyper[:, place : place + 1]

    # -- weights that are evaluated and kept -------------------------------------------

    @property
    def averages(self) -> bool:
        """Whether the rows are evaluated at averaged weights."""
        return type(self.pattern).__name__ == "ScheduleFreeAdamW"

    def validation_weights(
        self, weights: Tensor, state: State, hyper: Tensor
    ) -> Tensor:
        """The weights at which the rows are evaluated, (rows, parameters): averaged or trained."""
        if not self.averages:
            return weights
        beta = self.rule.beta_1
        if "beta_1" in self.varying:
            beta = tf.cast(self._column(hyper, "beta_1"), weights.dtype)
        return (weights - (1 - beta) * state[TRAINED]) / beta

    def final_weights(self, weights: Tensor, state: State) -> Tensor:
        """The weights after the last epoch, (rows, parameters): their moving average, if kept."""
        return state[AVERAGE] if self.rule.use_ema else weights

    # -- snapshots ---------------------------------------------------------------------

    def snapshot(self, state: State) -> dict[int, np.ndarray]:
        """Return one row's state by place in the list of the optimizer's variables."""
        return {
            place: np.asarray(state[name])[0, columns].reshape(shape)
            for place, (name, columns, shape) in enumerate(self._places())
        }

    def restore(self, arrays: Mapping[int, np.ndarray]) -> State:
        """Make one row's state of what `snapshot` returned."""
        parts: dict[str, list[np.ndarray]] = {}
        for place, (name, _, _) in enumerate(self._places()):
            parts.setdefault(name, []).append(np.asarray(arrays[place]).reshape(1, -1))
        return {
            name: np.concatenate(parts[name], axis=1).astype(cell.numpy().dtype)
            for name, cell in self.cells.items()
        }

    def _places(self) -> list[tuple[str, slice, tuple[int, ...]]]:
        """Where each variable of the pattern's state stands: its cell, columns there, and shape."""
        ends = np.cumsum(self.sizes)
        slots = [
            slice(end - size, end) for size, end in zip(self.sizes, ends, strict=True)
        ]
        places: dict[int, tuple[str, slice]] = {}
        for name in self.cells:
            value = getattr(self.pattern, name)
            if isinstance(value, keras.Variable):
                places[id(value)] = (name, slice(None))
            else:
                places |= {
                    id(each): (name, at) for each, at in zip(value, slots, strict=True)
                }
        return [
            (*places[id(each)], tuple(each.shape))
            for each in optimizer_state(self.pattern)
        ]
