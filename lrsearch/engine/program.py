"""One model with its training and validation loops as TensorFlow graphs, traced once and used for many trials.

A graph runs many batches a call: it gathers each from arrays that lie on the device, sets the rate from a table, and calls the
model's own `train_step`. So it covers what that covers: losses, metrics, weights, seeds, moving statistics, accumulation,
clipping, EMA, loss scaling. Between trials the start values that `build_model()` gives under the trial's seed are copied in, and
the optimizer and the metrics begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine import _keras
from lrsearch.engine.compiling import inner
from lrsearch.engine.data import DEFAULT_BATCH, Arrays


class CannotTrace(Exception):
    """This model has to be trained by `fit`; the text says why."""


class Held:
    """A split's arrays on the device: `batch(indices)` gathers one."""

    def __init__(self, split: Arrays, class_weight: Mapping[int, float] | None, *, floats: bool) -> None:
        self.examples = split.examples
        weight = split.weight
        if class_weight:
            weight = _keras.class_weights(split.y, dict(class_weight))
        parts = (split.x, split.y) if weight is None else (split.x, split.y, weight)
        self._tensors = tree.map_structure(lambda each: _tensor(each, floats=floats), parts)

    def batch(self, indices: Any) -> Any:
        return tree.map_structure(lambda each: tf.gather(each, indices), self._tensors)


def _tensor(array: np.ndarray, *, floats: bool) -> Any:
    # Keras' own adapter of validation arrays brings floats to the model's type; the training stream keeps what they are.
    kind = keras.config.floatx() if floats and np.issubdtype(array.dtype, np.floating) else None
    return tf.convert_to_tensor(array, dtype=kind)


class Program:
    """See the module. `feeds` tells whether the rates come from a table; the user's own compile keeps its own."""

    def __init__(self, model: Any, train: Held, validation: Held, *, batch_size: int | None, feeds: bool) -> None:
        self.model, self.train_data, self.validation_data = model, train, validation
        self.batch = batch_size or DEFAULT_BATCH
        self.feeds = feeds
        first = train.batch(tf.range(min(self.batch, train.examples)))
        _keras.build_fully(model, first)
        model.test_step(first)  # makes the metrics' variables: made within a graph, they would cost a second trace
        self._optimizer = [each.numpy() for each in model.optimizer.variables]
        self._copied = _slots_that_begin_as_weights(model)
        self._seeds = keras.random.SeedGenerator(0)
        _keras.adopt_seed_generator(self._seeds)
        self._steps = {"train": self._compiled(model.train_step), "test": self._compiled(model.test_step)}
        self._names: dict[str, tuple[str, ...]] = {}
        # Signatures, so that neither the number of batches nor the place in the epoch traces anew.
        order, place, rates = tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.float64)
        self.run_train = tf.function(self._train, autograph=False, input_signature=[order, place, place, rates])
        self.run_test = tf.function(self._test, autograph=False, input_signature=[])

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.train_data.examples // self.batch)

    def begin(self, fresh: Any, seed_state: Any) -> None:
        """Copy a fresh model's start values in; the optimizer and the metrics begin anew."""
        kept, given = self.model.variables, fresh.variables
        if [tuple(each.shape) for each in kept] != [tuple(each.shape) for each in given]:
            raise CannotTrace("build_model() does not build the same model twice")
        for variable, value in zip(kept, given, strict=True):
            variable.assign(value)
        for variable, value in zip(self.model.optimizer.variables, self._optimizer, strict=True):
            variable.assign(value)
        for slot, variable in self._copied:
            slot.assign(variable)
        self._seeds.state.assign(seed_state)
        _keras.adopt_seed_generator(self._seeds)

    def train(self, order: np.ndarray, first: int, rates: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        """Train `len(rates)` batches of an epoch in `order`, from batch `first` on; the running losses and the logs."""
        losses, last = self.run_train(
            tf.constant(order, tf.int64), tf.constant(first), tf.constant(first + len(rates)), tf.constant(rates, tf.float64)
        )
        return losses.numpy(), self._logs("train", last)

    def evaluate(self) -> dict[str, float]:
        """The validation split's logs, without their prefix."""
        self.model.reset_metrics()
        return self._logs("test", self.run_test())

    # -- graphs ----------------------------------------------------------------------------------------------------

    def _compiled(self, step: Any) -> Any:
        """The step itself, or under XLA where the user asked for it aloud."""
        return tf.function(step, jit_compile=True, autograph=False) if _keras.asked_for_jit(self.model) else step

    def _train(self, order: Any, first: Any, last: Any, rates: Any) -> Any:
        batch = self._batch_of(self.train_data, order)
        names = self._learn_names("train", batch(0))
        variable = inner(self.model.optimizer).learning_rate if self.feeds else None

        def step(place: Any, losses: Any, _logs: Any) -> Any:
            if variable is not None:
                variable.assign(rates[place - first])  # brings it to its own type, as the schedules do
            logs = self._steps["train"](batch(place))
            if "loss" in logs:
                losses = losses.write(place - first, tf.cast(logs["loss"], tf.float32))
            return place + 1, losses, tuple(tf.cast(logs[name], tf.float32) for name in names)

        begin = (first, tf.TensorArray(tf.float32, size=last - first), tuple(tf.constant(0.0) for _ in names))
        _, losses, logs = tf.while_loop(lambda place, *_: place < last, step, begin, parallel_iterations=1)
        return losses.stack(), logs

    def _test(self) -> Any:
        batch = self._batch_of(self.validation_data, tf.range(self.validation_data.examples, dtype=tf.int64))
        names = self._learn_names("test", batch(0))
        batches = -(-self.validation_data.examples // self.batch)

        def step(place: Any, _logs: Any) -> Any:
            logs = self._steps["test"](batch(place))
            return place + 1, tuple(tf.cast(logs[name], tf.float32) for name in names)

        begin = (tf.constant(0), tuple(tf.constant(0.0) for _ in names))
        return tf.while_loop(lambda place, *_: place < batches, step, begin, parallel_iterations=1)[1]

    def _batch_of(self, held: Held, order: Any) -> Any:
        def batch(place: Any) -> Any:
            begin = place * self.batch
            return held.batch(order[begin : tf.minimum(begin + self.batch, held.examples)])

        return batch

    def _learn_names(self, which: str, batch: Any) -> tuple[str, ...]:
        """The names that a step logs: the metrics' own, or, for a step of the user's, what tracing it says."""
        if which not in self._names:
            known = getattr(keras.Model, f"{which}_step")
            if getattr(type(self.model), f"{which}_step") is known:
                self._names[which] = ()  # its logs are the metrics' results, which are read afterwards
            else:
                spec = tree.map_structure(lambda each: tf.TensorSpec(each.shape, each.dtype), batch)
                traced = tf.function(getattr(self.model, f"{which}_step"), autograph=False).get_concrete_function(spec)
                self._names[which] = tuple(traced.structured_outputs)
        return self._names[which]

    def _logs(self, which: str, last: Sequence[Any]) -> dict[str, float]:
        """What `fit` logs: the metrics' results, or the last step's own where its names are others."""
        metrics = _keras.flat_logs(self.model.get_metrics_result())
        names = self._names[which]
        if not names or set(names) == set(metrics):
            return metrics
        return {name: float(value) for name, value in zip(names, last, strict=True)}


def _slots_that_begin_as_weights(model: Any) -> list[tuple[Any, Any]]:
    """The optimizer's variables that begin as copies of weights (ScheduleFreeAdamW's), each with its weight."""
    found = []
    for slot in model.optimizer.variables:
        for variable in model.trainable_variables:
            if slot.shape == variable.shape and np.any(variable.numpy()) and np.array_equal(slot.numpy(), variable.numpy()):
                found.append((slot, variable))
                break
    return found
