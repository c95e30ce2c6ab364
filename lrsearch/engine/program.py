"""One model with its training and validation loops as graphs, traced once for many trials.

A graph runs many batches per call: it reads each from its feed, sets the rate from a
table, and calls the model's own `train_step`. So a graph covers what that step covers:
losses, metrics, weights, seeds, moving statistics, accumulation, clipping, EMA, loss
scaling. Between trials the start values that `build_model()` gives under the trial's
seed are copied in, and the optimizer and the metrics begin anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import final

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine._keras_model import (
    build_fully,
    build_layers,
    has_own,
    metrics_of,
    trains_under_jit,
    unwrap_optionals,
)
from lrsearch.engine._keras_optimizer import inner, rate_is_function
from lrsearch.engine._keras_state import adopt_seed_generator
from lrsearch.engine.feeding import Feed
from lrsearch.engine.limits import check_graph, check_same_model
from lrsearch.engine.types import Batch, Function, Model, Structure, Tensor, Variable

# How late a signal, a prune or a divergence may be noticed.
CALL_SECONDS = 0.5
_FIRST_CALL = 2  # batches, before the pace is known
_MOST_CALL = 4096  # batches


@final
class Program:
    """See the module.

    `feeds`: the rates come from a table by update; else they are the model's own
    optimizer's. `draws`: the model's start values come from tf.random, so that its
    kernels have to begin anew with every trial.
    """

    def __init__(
        self, model: Model, sample: Batch, *, feeds: bool, draws: bool
    ) -> None:
        self.model, self.draws = model, draws
        build_fully(model, sample)
        # Makes the metrics' variables: made within a graph, they would cost a second
        # trace.
        model.test_step(sample)
        self._optimizer = [each.numpy() for each in model.optimizer.variables]
        self._copied = _slots_that_begin_as_weights(model)
        self._seeds = keras.random.SeedGenerator(0)
        self._sample = sample
        self._rate = inner(model.optimizer).learning_rate if feeds else None
        self._rates = tf.zeros([1], tf.float64)
        steps = {"train": model.train_step, "test": model.test_step}
        self._steps = {which: self._compile_step(step) for which, step in steps.items()}
        self._functions: dict[tuple[str, Structure], Function] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._paces = {which: Pace() for which in steps}
        # of the steps so far of an epoch or a validation
        self.logs: dict[str, float] = {}
        # (steps,) float32: the rates of the last call's steps; NaN where nobody knows
        # them
        self.used = np.zeros(0, np.float32)

    def begin(self, fresh: Model, seed_state: Variable) -> None:
        """Copy a fresh model's start values in; the optimizer begins anew.

        Raises CannotCarry for a model of other variables.
        """
        build_layers(fresh, self._sample)
        kept, given = self.model.variables, fresh.variables
        check_same_model(kept, given)
        variables = [*kept, *self.model.optimizer.variables]
        values = [*given, *self._optimizer]
        for variable, value in [*zip(variables, values, strict=True), *self._copied]:
            variable.assign(value)
        self._seeds.state.assign(seed_state)
        adopt_seed_generator(self._seeds)

    def follow(self, rates: np.ndarray) -> None:
        """Train with these rates from now on: (updates,), float64, by the optimizer's own count."""
        self._rates = tf.constant(rates, tf.float64)
        self._set_rate(self._rates)

    @property
    def rate(self) -> float | None:
        """The next update's; None where the model's own optimizer knows it."""
        return None if self._rate is None else float(self._rate)

    def run(self, which: str, feed: Feed, *, one: bool = False) -> np.ndarray | None:
        """Run "train" or "test" steps for about CALL_SECONDS, or only `one`.

        Returns their running losses, (steps,), float32; None at the feed's end.
        """
        pace = self._paces[which]
        source, count = feed.take(1 if one else pace.batches)
        if not count:
            return None
        function = self._function(which, feed)
        began = time.monotonic()
        losses, done, values = function(source, tf.constant(count), self._rates)
        self.logs = dict(zip(self._names[which], values.numpy().tolist(), strict=True))
        done = int(done)
        pace.learn(done, time.monotonic() - began)
        if done < count:
            feed.ran_out(count - done)
        found = losses.numpy()[:done]
        self.used = found[:, 1]
        running: np.ndarray = found[:, 0]
        return running

    @property
    def traced(self) -> int:
        """How often a loop was traced."""
        return sum(
            each.experimental_get_tracing_count() for each in self._functions.values()
        )

    # -- graphs ------------------------------------------------------------------------

    def _compile_step(self, step: Function) -> Function:
        """The step itself, or under XLA where `fit` would do so."""
        if trains_under_jit(self.model):
            step = tf.function(step, jit_compile=True, autograph=False)
        return unwrap_optionals(self.model, step)

    def _function(self, which: str, feed: Feed) -> Function:
        """The traced loop over batches of this kind.

        Raises CannotCarry for a model that cannot begin anew.
        """
        key, read, model = (which, feed.signature), feed.read, self.model
        if key not in self._functions:
            # A signature, so that the number of batches does not trace anew.
            count = tf.TensorSpec([], tf.int32)
            rates = tf.TensorSpec([None], tf.float64)
            made = tf.function(
                lambda source, count, rates: self._loop(
                    which, read, source, count, rates
                ),
                autograph=False,
                input_signature=[feed.signature, count, rates],
            )
            metrics = [each for metric in model.metrics for each in metric.variables]
            known = [
                *model.variables,
                *metrics,
                *model.optimizer.variables,
                self._seeds.state,
            ]
            check_graph(made.get_concrete_function(), known)
            self._functions[key] = made
        return self._functions[key]

    def _loop(
        self,
        which: str,
        read: Function,
        source: Structure,
        count: Tensor,
        rates: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run `count` steps, or as many as the data has.

        Returns running losses and rates (count, 2), float32; steps done, (); the logs'
        values (names,), float64.
        """
        own = self._own_names(which)

        def use(batch: Batch) -> Structure:
            if which == "train":
                self._set_rate(rates)
            used = self._used_rate(which)  # read now: the step counts the update
            logs = self._steps[which](batch)
            loss = tf.stack([tf.cast(logs.get("loss", 0.0), tf.float32), used])
            return True, loss, tuple(tf.cast(logs[name], tf.float64) for name in own)

        def step(
            place: Tensor, _more: Tensor, losses: Tensor, last: Structure
        ) -> Structure:
            more, loss, last = read(source, place, use, lambda: (False, nothing, last))
            return (
                place + tf.cast(more, tf.int32),
                more,
                losses.write(place, loss),
                last,
            )

        nothing = tf.zeros([2], tf.float32)
        losses = tf.TensorArray(tf.float32, size=count, element_shape=(2,))
        last = tuple(tf.constant(0.0, tf.float64) for _ in own)
        begin = (tf.constant(0), tf.constant(value=True), losses, last)
        place, _, losses, last = tf.while_loop(
            lambda place, more, *_: more & (place < count),
            step,
            begin,
            parallel_iterations=1,
        )
        if which == "train":
            self._set_rate(rates)  # callbacks see the next update's, as in `fit`
        return (
            losses.stack(),
            place,
            self._values(which, dict(zip(own, last, strict=True))),
        )

    def _set_rate(self, rates: Tensor) -> None:
        """Set the next update's rate; rates: (updates,), float64.

        The variable casts the rate to its own type, as the schedules do.
        """
        if self._rate is not None:
            # Updates, also where the optimizer accumulates.
            update = tf.convert_to_tensor(inner(self.model.optimizer).iterations)
            last = tf.size(rates, update.dtype) - 1
            self._rate.assign(tf.gather(rates, tf.minimum(update, last)))

    def _used_rate(self, which: str) -> Tensor:
        """The rate that the optimizer will use for the next update, (), float32.

        NaN where it is a function of the user's, which is not called more often than
        Keras does.
        """
        optimizer = inner(self.model.optimizer)
        if which != "train" or rate_is_function(optimizer):
            return tf.constant(float("nan"), tf.float32)
        return tf.cast(tf.convert_to_tensor(optimizer.learning_rate), tf.float32)

    def _own_names(self, which: str) -> tuple[str, ...]:
        """The names that a step of the user's own logs, found by tracing it.

        Empty for Keras' own step, which logs the metrics' results.
        """
        method = f"{which}_step"
        if not has_own(self.model, method) and not has_own(
            self.model, "compute_metrics"
        ):
            return ()
        spec = tree.map_structure(
            lambda each: tf.TensorSpec(each.shape, each.dtype), self._sample
        )
        step = tf.function(getattr(self.model, method), autograph=False)
        return tuple(step.get_concrete_function(spec).structured_outputs)

    def _values(self, which: str, own: Mapping[str, Tensor]) -> Tensor:
        """The values that `fit` logs, (names,), float64; keeps their names.

        They are the metrics' results, or the last step's own logs where its names are
        others.
        """
        metrics = metrics_of(self.model)
        logs = own if own and set(own) != set(metrics) else metrics
        self._names[which] = tuple(logs)
        return tf.stack([tf.cast(each, tf.float64) for each in logs.values()])


@final
class Pace:
    """How many batches a call runs, so that it takes about CALL_SECONDS; kept for later trials."""

    def __init__(self) -> None:
        self.batches = _FIRST_CALL
        self._calls = 0

    def learn(self, count: int, seconds: float) -> None:
        """So many batches took so long."""
        self._calls += 1
        if self._calls > 1 and count:  # the first call may have made kernels
            wanted = CALL_SECONDS * count / max(seconds, 1e-6)
            self.batches = int(min(max(wanted, 1.0), 4.0 * self.batches, _MOST_CALL))


def _slots_that_begin_as_weights(model: Model) -> list[tuple[Variable, Variable]]:
    """ScheduleFreeAdamW's variables that begin as copies of weights, each with its weight."""
    weights = [each for each in model.trainable_variables if np.any(each.numpy())]
    pairs = []
    for slot in model.optimizer.variables:
        for weight in weights:
            if slot.shape == weight.shape and np.array_equal(
                slot.numpy(), weight.numpy()
            ):
                pairs.append((slot, weight))
                break
    return pairs
