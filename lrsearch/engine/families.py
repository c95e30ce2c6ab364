"""Optimizers over many trials at once: Keras' `update_step` on a matrix with a row per trial.

A family is one structure of an optimizer: its class, and which of its terms are there at all. Its
rows differ in rate, counter and hyperparameters, which reach `update_step` as columns. What
`update_step` leaves out (clipping, decoupled decay with its exclusions, accumulation, moving
averages, Nadam's product) is done here by row. Nothing is assigned: Keras' StatelessScope turns the
optimizer's assignments into values. `_keras_rules` has what each Keras class needs for it.
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
    by_value,
    clip_by_norm,
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
    """See the module.

    `optimizer` is a built Keras optimizer of the model: the family's pattern, never trained.
    """

    def __init__(
        self, optimizer: Optimizer, trainable: Sequence[Variable], varying: Sequence[str]
    ) -> None:
        self.pattern, self.varying = optimizer, tuple(varying)
        self.sizes = [math.prod(each.shape) for each in trainable]
        self.adapter = ADAPTERS[type(optimizer).__name__]
        # Two rows, however many there will be: Keras' `add` takes what has one row in its shape for
        # a bias.
        start = np.zeros((2, sum(self.sizes)))
        self.variable = keras.Variable(start, dtype=trainable[0].dtype, name="rows")
        self.rule = by_value(optimizer)
        self.cells = build_cells(self.rule, self.variable)
        kept = [decays(optimizer, each) for each in trainable]
        self._decayed = None if all(kept) else np.repeat(kept, self.sizes)[None, :]

    @property
    def dtype(self) -> str:
        """The weights' dtype."""
        return str(self.variable.dtype)

    def columns(self, name: str) -> int:
        """The width of a row of this cell: the number of parameters, or 1 for a counter."""
        return int(self.cells[name].shape[1]) if len(self.cells[name].shape) else 1

    def begin(self, setting: Setting, weights: np.ndarray) -> State:
        """The state of one new row; weights: (1, parameters)."""
        return {
            name: weights
            if name in self.adapter.begins_as_weights
            else self._first(name, cell.numpy(), setting)
            for name, cell in self.cells.items()
        }

    def _first(self, name: str, value: np.ndarray, setting: Setting) -> np.ndarray:
        """A cell's first row: its built value, or what a hyperparameter says, (1, columns)."""
        first = setting.hyper.get(self.adapter.begins_at.get(name, ""), value.flat[0])
        # Through float32, as Keras' Constant initializer goes.
        first = np.float32(first) if value.dtype.kind == "f" else first
        return np.full((1, self.columns(name)), first, value.dtype)

    def hyper(self, optimizers: Sequence[Optimizer]) -> np.ndarray:
        """The hyperparameters of these optimizers, one per row: (rows, varying), float64."""
        rows = [[float(getattr(each, name)) for name in self.varying] for each in optimizers]
        return np.array(rows, np.float64).reshape(len(optimizers), len(self.varying))

    # -- one batch ---------------------------------------------------------------------------------

    def update(
        self, weights: Tensor, state: State, gradient: Tensor, rate: Tensor, hyper: Tensor
    ) -> tuple[Tensor, State]:
        """Apply one batch's gradient; the new weights and state.

        weights, gradient: (rows, parameters) and rate: (rows, 1), of the weights' dtype;
        hyper: (rows, varying), float64.
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
        """Clip, decay, update: the order of Keras' `_backend_apply_gradients`."""
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

    def _accumulate(self, scope: keras.StatelessScope, gradient: Tensor, rate: Tensor) -> None:
        """Update a row by the mean gradient at every k-th of its batches; add the others up."""
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
            scale = rule.global_clipnorm * tf.minimum(1.0 / norm, 1.0 / rule.global_clipnorm)
            return gradient * (scale + (norm - norm))  # an infinite norm gives NaN, as Keras has it
        if rule.clipvalue:
            return tf.clip_by_value(gradient, -rule.clipvalue, rule.clipvalue)
        return gradient

    def _average(self) -> None:
        """Keep Keras' moving average of the weights; now and then it replaces the weights."""
        rule, variable = self.rule, self.variable
        average = self.cells[AVERAGE]
        momentum = ops.cast(ops.not_equal(rule.iterations, 0), variable.dtype) * rule.ema_momentum
        rule.assign(average, momentum * average + (1 - momentum) * variable)
        if rule.ema_overwrite_frequency:
            due = (rule.iterations + 1) % rule.ema_overwrite_frequency == 0
            rule.assign(variable, tf.where(due, average.value, variable.value))

    @contextmanager
    def _columns(self, hyper: Tensor) -> Iterator[None]:
        """Replace the optimizer's hyperparameters by columns while it is traced."""
        kept = {name: getattr(self.rule, name) for name in self.varying}
        for place, name in enumerate(self.varying):
            setattr(self.rule, name, Column(hyper[:, place : place + 1], self.dtype))
        try:
            yield
        finally:
            for name, value in kept.items():
                setattr(self.rule, name, value)

    # -- weights that are evaluated and kept -------------------------------------------------------

    def evaluated(self, weights: Tensor, state: State, hyper: Tensor) -> Tensor:
        """The weights at which the rows are evaluated, (rows, parameters): averaged or trained."""
        if type(self.pattern).__name__ != "ScheduleFreeAdamW":
            return weights
        beta = self.rule.beta_1
        if "beta_1" in self.varying:
            place = self.varying.index("beta_1")
            beta = tf.cast(hyper[:, place : place + 1], weights.dtype)
        return (weights - (1 - beta) * state[TRAINED]) / beta

    def finalized(self, weights: Tensor, state: State) -> Tensor:
        """The weights after the last epoch, (rows, parameters): their moving average, if kept."""
        return state[AVERAGE] if self.rule.use_ema else weights

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self, state: State) -> dict[int, np.ndarray]:
        """One row's state, by each variable's place in the state of the model's optimizer."""
        found = {}
        for place, (name, index, shape) in self._places().items():
            row = np.asarray(state[name])[0]
            if index is not None:
                begin = sum(self.sizes[:index])
                row = row[begin : begin + self.sizes[index]]
            found[place] = row.reshape(shape)
        return found

    def restored(self, arrays: Mapping[int, np.ndarray]) -> State:
        """The other way: one row's state from the variables of the model's optimizer."""
        parts: dict[str, list[np.ndarray]] = {}
        for place, (name, _, _) in self._places().items():
            parts.setdefault(name, []).append(np.asarray(arrays[place]).reshape(1, -1))
        return {
            name: np.concatenate(parts[name], axis=1).astype(cell.numpy().dtype)
            for name, cell in self.cells.items()
        }

    def _places(self) -> dict[int, tuple[str, int | None, tuple[int, ...]]]:
        """Where each variable of the pattern's state is held, by its place in that state.

        That is the attribute, the place in it (None for a scalar), and the variable's shape.
        """
        held: dict[int, tuple[str, int | None]] = {}
        for name in self.cells:
            value = getattr(self.pattern, name)
            if isinstance(value, keras.Variable):
                held[id(value)] = (name, None)
            else:
                held |= {id(each): (name, index) for index, each in enumerate(value)}
        state = optimizer_state(self.pattern)
        return {place: (*held[id(each)], tuple(each.shape)) for place, each in enumerate(state)}
