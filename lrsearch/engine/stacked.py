"""Many trials of one model in one TensorFlow graph.

The model is called once, under `tf.vectorized_map`, on a row of weights; TensorFlow makes of it a
graph that calls it on all rows at once. All trainable weights of a trial are one row of a matrix,
so that an optimizer's update is a few operations on a matrix and not on every weight. Nothing is
assigned: a stretch of training is a function from a state to a state, and rows come and go between
two calls. The number of rows is no part of a graph: one trace serves them all.

State, R rows: `weights` (R, parameters); `rest` and `metrics`, a tensor (R, ...) for each variable
of the model that is not trained (statistics, seeds) and of its metrics; `slots`, for each family
the state of its rows. Rows lie in the families' order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine import _keras
from lrsearch.engine._tensorflow import teach_vectorized_map
from lrsearch.engine.data import DEFAULT_BATCH
from lrsearch.engine.families import Family
from lrsearch.engine.program import Held
from lrsearch.engine.ways import (
    CHANGES_IN_EVALUATION,
    CONSTRAINTS,
    MIXED_TYPES,
    NO_GRADIENT,
    OTHER_MODEL,
    SETS_WEIGHTS,
    SPARSE_GRADIENT,
    CannotCarry,
    check_graph,
)

State = dict[str, Any]


class StackedProgram:
    """One model's graphs for any number of rows; see the module. `draws` as in `Program`."""

    def __init__(
        self, model: Any, train: Held, validation: Held, *, batch_size: int | None, draws: bool
    ) -> None:
        teach_vectorized_map()
        self.draws = draws
        self.model, self.train_data, self.validation_data = model, train, validation
        self.batch = batch_size or DEFAULT_BATCH
        self.sample = train.batch(tf.range(min(self.batch, train.examples)))
        _keras.build_fully(model, self.sample)
        model.test_step(self.sample)  # makes the metrics' variables
        model.reset_metrics()
        self.seeds = keras.random.SeedGenerator(0)
        self.trainable = list(model.trainable_variables)
        self.rest = [*model.non_trainable_variables, self.seeds.state]
        self.metrics = list(model.metrics_variables)
        self.sizes = [math.prod(each.shape) for each in self.trainable]
        # `fit` does not know a batch's size while it traces, and some means depend on that;
        # elsewhere it makes kernels quicker.
        self._static = not _keras.tracks_each_loss(model)
        self.families: list[Family] = []
        self._unmetered = [each.numpy() for each in self.metrics]
        self._graphs: dict[tuple[int, str], Any] = {}
        self._tests: dict[int, Any] = {}
        self._check()

    def _check(self) -> None:
        kinds = {str(each.dtype) for each in self.trainable}
        if len(kinds) != 1:
            raise CannotCarry(MIXED_TYPES, ", ".join(sorted(kinds)) or "none")
        if any(each.constraint is not None for each in self.trainable):
            raise CannotCarry(CONSTRAINTS)

    @property
    def _accumulates(self) -> bool:
        """Whether gradients are added up, and dense by that, before an optimizer sees them."""
        return any(family.rule.gradient_accumulation_steps for family in self.families)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.train_data.examples // self.batch)

    @property
    def full_steps(self) -> int:
        """Batches of an epoch that are whole: the last one may be shorter, and has a graph of its
        own.
        """
        return self.train_data.examples // self.batch

    # -- rows ------------------------------------------------------------------------------------------------------

    def begin(self, fresh: Any, seed_state: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """A fresh, built model's start values as a row: weights (1, parameters), and the rest, each
        (1, ...).
        """
        kept, given = (
            [*self.trainable, *self.rest[:-1]],
            [*fresh.trainable_variables, *fresh.non_trainable_variables],
        )
        if [tuple(each.shape) for each in kept] != [tuple(each.shape) for each in given]:
            raise CannotCarry(OTHER_MODEL)
        weights = np.concatenate([each.numpy().ravel() for each in fresh.trainable_variables])[
            None, :
        ]
        rest = [
            each[None]
            for each in (*(each.numpy() for each in fresh.non_trainable_variables), seed_state)
        ]
        return weights, rest

    def unmetered(self, rows: int) -> list[Any]:
        """The metrics' variables before a first batch."""
        return [
            tf.tile(tf.convert_to_tensor(each)[None], [rows] + [1] * each.ndim)
            for each in self._unmetered
        ]

    def model_arrays(
        self, weights: np.ndarray, rest: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """A row as a snapshot names the model's variables: by place in `model.variables`."""
        ends = np.cumsum(self.sizes)[:-1]
        parts = [
            part.reshape(each.shape)
            for part, each in zip(np.split(weights, ends), self.trainable, strict=True)
        ]
        by_id = {
            id(each): value
            for each, value in zip([*self.trainable, *self.rest], [*parts, *rest], strict=True)
        }
        return {
            f"model/{place}": by_id[id(each)] for place, each in enumerate(self.model.variables)
        }

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The other way: a row from a snapshot."""
        by_id = {
            id(each): arrays[f"model/{place}"] for place, each in enumerate(self.model.variables)
        }
        by_id[id(self.seeds.state)] = arrays["seed/0"]
        weights = np.concatenate([np.ravel(by_id[id(each)]) for each in self.trainable])[None, :]
        return weights, [np.asarray(by_id[id(each)])[None] for each in self.rest]

    # -- training --------------------------------------------------------------------------------------------------

    def train(
        self,
        state: State,
        counts: Sequence[int],
        hyper: Sequence[np.ndarray],
        order: np.ndarray,
        first: int,
        rates: np.ndarray,
    ) -> tuple[State, np.ndarray]:
        """Train whole batches from `first` on, as many as `rates` (R, batches) has; the running
        losses come as (batches, R).

        `order` is (R, examples), each row's own; `counts` the rows of each family, `hyper` their
        hyperparameters.
        """
        given = (np.asarray(counts, np.int32), tuple(hyper), order)
        state, losses = self._graph("train")(
            state, *given, np.int32(first), np.int32(first + rates.shape[1]), rates
        )
        return state, losses.numpy()

    def end_epoch(
        self,
        state: State,
        counts: Sequence[int],
        hyper: Sequence[np.ndarray],
        order: np.ndarray,
        rates: np.ndarray,
    ) -> tuple[State, np.ndarray, list[dict[str, float]]]:
        """Train the last, shorter batch, if there is one, and validate: what `train` returns, and
        each row's logs.
        """
        given, last = (np.asarray(counts, np.int32), tuple(hyper), order), np.int32(self.full_steps)
        state, losses, logs = self._graph("end")(
            state, *given, last, np.int32(last + rates.shape[1]), rates
        )
        return state, losses.numpy(), _by_row(logs)

    def evaluate(self, weights: Any, rest: Sequence[Any], split: Held) -> list[dict[str, float]]:
        """Each row's logs on a split; without a prefix."""
        if id(split) not in self._tests:
            self._tests[id(split)] = tf.function(
                lambda w, r: self._test(split, w, r), autograph=False, reduce_retracing=True
            )
        return _by_row(self._tests[id(split)](weights, tuple(rest)))

    # -- graphs ----------------------------------------------------------------------------------------------------

    def _graph(self, which: str) -> Any:
        """The graph for the families there are now: "train" for whole batches, "end" for what comes
        after them.
        """
        key = (len(self.families), which)
        if key not in self._graphs:
            step = {"train": partial(self._train, self.batch), "end": self._end}[which]
            made = tf.function(step, autograph=False, input_signature=self._signature())
            check_graph(made.get_concrete_function(), known=())
            self._graphs[key] = made
        return self._graphs[key]

    def _signature(self) -> list[Any]:
        def rows(each: Any) -> Any:
            return tf.TensorSpec([None, *each.shape], each.dtype)

        kind = self.trainable[0].dtype
        state = {
            "weights": tf.TensorSpec([None, sum(self.sizes)], kind),
            "rest": [rows(each) for each in self.rest],
            "metrics": [rows(each) for each in self.metrics],
            "slots": [
                {
                    name: tf.TensorSpec([None, family.columns(name)], each.dtype)
                    for name, each in family.cells.items()
                }
                for family in self.families
            ],
        }
        hyper = tuple(
            tf.TensorSpec([None, len(family.varying)], tf.float64) for family in self.families
        )
        place = tf.TensorSpec([], tf.int32)
        counts, order = (
            tf.TensorSpec([len(self.families)], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
        )
        return [state, counts, hyper, order, place, place, tf.TensorSpec([None, None], tf.float64)]

    def _train(
        self,
        size: int,
        state: State,
        counts: Any,
        hyper: Any,
        order: Any,
        first: Any,
        last: Any,
        rates: Any,
    ) -> Any:
        def step(place: Any, state: State, losses: Any) -> Any:
            begin = place * self.batch
            indices = order[:, begin : begin + size]
            batch = self.train_data.batch(
                tf.ensure_shape(indices, [None, size if self._static else None])
            )
            gradient, rest, metrics, loss = tf.vectorized_map(
                self._row_gradient, (state["weights"], state["rest"], state["metrics"], batch)
            )
            rate = tf.cast(rates[:, place - first : place - first + 1], gradient.dtype)
            weights, slots = self._update(
                state["weights"], state["slots"], gradient, rate, hyper, counts
            )
            new = {"weights": weights, "rest": list(rest), "metrics": list(metrics), "slots": slots}
            return place + 1, new, losses.write(place - first, tf.cast(loss, tf.float32))

        begin = (first, state, tf.TensorArray(tf.float32, size=last - first, element_shape=[None]))
        _, state, losses = tf.while_loop(
            lambda place, *_: place < last, step, begin, parallel_iterations=1
        )
        return state, losses.stack()

    def _end(
        self, state: State, counts: Any, hyper: Any, order: Any, first: Any, last: Any, rates: Any
    ) -> Any:
        size = self.train_data.examples % self.batch
        losses = tf.zeros([0, tf.shape(order)[0]])
        if size:
            state, losses = self._train(size, state, counts, hyper, order, first, last, rates)
        found = self._results_of(tuple(state["metrics"]))
        validated = self._test(
            self.validation_data, self._evaluated(state, counts, hyper), tuple(state["rest"])
        )
        return (
            state,
            losses,
            {**found, **{f"val_{name}": value for name, value in validated.items()}},
        )

    def _evaluated(self, state: State, counts: Any, hyper: Any) -> Any:
        """The weights that the rows are evaluated at."""
        parts = tf.split(state["weights"], counts, num=len(self.families))
        pairs = zip(self.families, parts, state["slots"], hyper, strict=True)
        return tf.concat(
            [family.evaluated(part, slots, own) for family, part, slots, own in pairs], axis=0
        )

    def _row_gradient(self, row: Any) -> Any:
        """One row's gradient (parameters,), the rest and the metrics after its batch, and the
        running mean of the loss.
        """
        flat, rest, metrics, batch = row
        weights = self._unflatten(flat)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            with self._scope(weights, rest, metrics) as scope:
                before = _now(scope, self.trainable)
                loss = self._measured("train", batch)
                if _differ(before, _now(scope, self.trainable)):
                    raise CannotCarry(SETS_WEIGHTS)
                mean = self.model._loss_tracker.result()  # noqa: SLF001
        found = tape.gradient(loss, weights)
        if any(each is None for each in found):
            raise CannotCarry(NO_GRADIENT)
        if any(isinstance(each, tf.IndexedSlices) for each in found) and not self._accumulates:
            raise CannotCarry(SPARSE_GRADIENT)
        gradient = tf.concat(
            [tf.reshape(tf.convert_to_tensor(each), [-1]) for each in found], axis=0
        )
        return gradient, _now(scope, self.rest), _now(scope, self.metrics), mean

    def _update(
        self, weights: Any, slots: Any, gradient: Any, rate: Any, hyper: Any, counts: Any
    ) -> tuple[Any, list[Any]]:
        """Each family's rule on its own rows."""
        if len(self.families) == 1:
            weights, state = self.families[0].update(weights, slots[0], gradient, rate, hyper[0])
            return weights, [state]
        parts = zip(
            *(tf.split(each, counts, num=len(self.families)) for each in (weights, gradient, rate)),
            strict=True,
        )
        found = [
            family.update(part, state, slope, speed, own)
            for family, (part, slope, speed), state, own in zip(
                self.families, parts, slots, hyper, strict=True
            )
        ]
        return tf.concat([each for each, _ in found], axis=0), [state for _, state in found]

    def _test(self, split: Held, weights: Any, rest: Any) -> dict[str, Any]:
        whole, left = divmod(split.examples, self.batch)

        def measured(indices: Any, metrics: Any) -> Any:
            unknown = tf.raw_ops.PlaceholderWithDefault(input=indices, shape=[None])
            batch = split.batch(indices if self._static else unknown)  # one for all rows
            return tf.vectorized_map(
                lambda row: self._row_test(row, batch), (weights, rest, metrics)
            )

        def step(place: Any, metrics: Any) -> Any:
            return place + 1, measured(place * self.batch + tf.range(self.batch), metrics)

        metrics = tuple(
            tf.broadcast_to(
                tf.convert_to_tensor(each)[None],
                tf.concat([tf.shape(weights)[:1], each.shape], axis=0),
            )
            for each in self._unmetered
        )
        _, metrics = tf.while_loop(
            lambda place, *_: place < whole, step, (tf.constant(0), metrics), parallel_iterations=1
        )
        if left:
            metrics = measured(whole * self.batch + tf.range(left), metrics)
        return self._results_of(metrics)

    def _row_test(self, row: Any, batch: Any) -> Any:
        flat, rest, metrics = row
        with self._scope(self._unflatten(flat), rest, metrics) as scope:
            before = _now(scope, self.rest)
            self._measured("test", batch)
            if _differ(before, _now(scope, self.rest)):
                raise CannotCarry(CHANGES_IN_EVALUATION)
        return tuple(_now(scope, self.metrics))

    def _measured(self, which: str, batch: Any) -> Any:
        """The loss, as Keras' own `train_step` and `test_step` compute and note it."""
        model, training = self.model, which == "train"
        x, y, weight = (*batch, None, None)[:3]
        told = {"training": training} if model._call_has_training_arg else {}  # noqa: SLF001
        outputs = model(x, **told)
        loss = model._compute_loss(  # noqa: SLF001
            x=x, y=y, y_pred=outputs, sample_weight=weight, training=training
        )
        count = tf.shape(next(each for each in tree.flatten(x) if each is not None))[0]
        model._loss_tracker.update_state(loss, sample_weight=count)  # noqa: SLF001
        model.compute_metrics(x, y, outputs, sample_weight=weight)
        return loss

    def _results_of(self, metrics: Any) -> dict[str, Any]:
        def one(row: Any) -> dict[str, Any]:
            with keras.StatelessScope(state_mapping=list(zip(self.metrics, row, strict=True))):
                return _keras.flat_logs(self.model.get_metrics_result())

        return dict(tf.vectorized_map(one, metrics))

    def _unflatten(self, flat: Any) -> list[Any]:
        parts = tf.split(flat, self.sizes)
        return [
            tf.reshape(part, each.shape) for part, each in zip(parts, self.trainable, strict=True)
        ]

    def _scope(self, weights: Any, rest: Any, metrics: Any) -> Any:
        pairs = zip(
            [*self.trainable, *self.rest, *self.metrics], [*weights, *rest, *metrics], strict=True
        )
        _keras.adopt_seed_generator(self.seeds)
        return keras.StatelessScope(state_mapping=list(pairs), collect_losses=True)


def _now(scope: Any, variables: Sequence[Any]) -> list[Any]:
    return [scope.get_current_value(each) for each in variables]


def _differ(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether something was assigned in between."""
    return any(before is not after for before, after in zip(one, other, strict=True))


def _by_row(results: Mapping[str, Any]) -> list[dict[str, float]]:
    found = {name: value.numpy() for name, value in results.items()}
    rows = len(next(iter(found.values())))
    return [{name: float(values[row]) for name, values in found.items()} for row in range(rows)]
