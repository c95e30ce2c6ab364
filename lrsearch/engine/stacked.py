"""Many trials of one model in one TensorFlow graph.

The model is called once, under `tf.vectorized_map`, on a row of weights; TensorFlow makes of it a
graph that calls it on all rows at once. All trainable weights of a trial are one row of a matrix
(`RowLayout`), so that an optimizer's update is a few operations on a matrix and not on every
weight. Nothing is assigned: a stretch of training is a function from a state to a state, and rows
come and go between two calls. The number of rows is no part of a graph: one trace serves them all.

A state of R rows: `weights`, `rest` and, within an epoch, `metrics`, as in `RowLayout`; `slots`,
for each family the state of its rows. Rows lie in the families' order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, final

import keras
import numpy as np
import tensorflow as tf

from lrsearch.engine._keras_model import (
    build_fully,
    measure_batch,
    metrics_of,
    running_loss,
    tracks_each_loss,
)
from lrsearch.engine._tensorflow import teach_vectorized_map
from lrsearch.engine.data import DEFAULT_BATCH
from lrsearch.engine.families import Family
from lrsearch.engine.layout import RowLayout
from lrsearch.engine.program import Held
from lrsearch.engine.types import Batch, Function, Model, Tensor, Variable
from lrsearch.engine.ways import (
    CHANGES_IN_EVALUATION,
    NO_GRADIENT,
    SETS_WEIGHTS,
    SPARSE_GRADIENT,
    CannotCarry,
    check_graph,
)

State: TypeAlias = dict[str, Any]


class RowInputs(NamedTuple):
    """What a graph takes beside a state."""

    counts: Tensor  # (families,), int32: rows of each family
    hyper: tuple[Tensor, ...]  # of each family (rows, varying), float64: its hyperparameters
    order: Tensor  # (R, examples), int32: each row's own order of the epoch's examples


@final
class StackedProgram:
    """One model's graphs for any number of rows; see the module.

    `draws`: the model's start values come from tf.random, as in `Program`.
    """

    def __init__(
        self, model: Model, train: Held, validation: Held, *, batch_size: int | None, draws: bool
    ) -> None:
        teach_vectorized_map()
        self.model, self.train_data, self.validation_data = model, train, validation
        self.draws = draws
        self.batch = batch_size or DEFAULT_BATCH
        self.sample = train.batch(tf.range(min(self.batch, train.examples)))
        build_fully(model, self.sample)
        model.test_step(self.sample)  # makes the metrics' variables
        model.reset_metrics()
        self.layout = RowLayout(model)
        # `fit` does not know a batch's size while it traces, and some means depend on that;
        # elsewhere it makes kernels quicker.
        self._static = not tracks_each_loss(model)
        self.families: list[Family] = []
        self._graphs: dict[tuple[int, str], Function] = {}
        self._tests: dict[int, Function] = {}

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.train_data.examples // self.batch)

    @property
    def full_steps(self) -> int:
        """Batches of an epoch that are whole.

        The last one may be shorter, and has a graph of its own.
        """
        return self.train_data.examples // self.batch

    def empty_state(self) -> State:
        """A state without rows, between two epochs."""
        layout = self.layout
        weights = tf.zeros((0, sum(layout.sizes)), layout.trainable[0].dtype)
        rest = [tf.zeros((0, *each.shape), each.dtype) for each in layout.rest]
        return {"weights": weights, "rest": rest, "slots": []}

    # -- training ----------------------------------------------------------------------------------

    def train(
        self, state: State, given: RowInputs, first: int, rates: np.ndarray
    ) -> tuple[State, np.ndarray]:
        """Train whole batches from `first` on, as many as `rates` has.

        rates: (R, batches), float64, real learning rates.
        Returns the running means of the losses, (batches, R), float32, with the new state.
        """
        state, losses = self._run("train", state, given, first, rates)
        return state, losses.numpy()

    def end_epoch(
        self, state: State, given: RowInputs, rates: np.ndarray
    ) -> tuple[State, np.ndarray, list[dict[str, float]]]:
        """Train the last, shorter batch, if there is one, and validate.

        Takes and returns what `train` does, and each row's logs.
        """
        state, losses, logs = self._run("end", state, given, self.full_steps, rates)
        return state, losses.numpy(), _by_row(logs)

    def evaluate(
        self, weights: Tensor, rest: Sequence[Tensor], split: Held
    ) -> list[dict[str, float]]:
        """Each row's logs on a split, without a prefix; weights: (R, parameters)."""
        if id(split) not in self._tests:
            self._tests[id(split)] = tf.function(
                lambda w, r: self._test(split, w, r), autograph=False, reduce_retracing=True
            )
        return _by_row(self._tests[id(split)](weights, tuple(rest)))

    def _run(
        self, which: str, state: State, given: RowInputs, first: int, rates: np.ndarray
    ) -> Any:
        """Call the graph for the families that there are now.

        "train" is for whole batches, "end" for what comes after them.
        """
        key = (len(self.families), which)
        if key not in self._graphs:
            step = {"train": partial(self._train, self.batch), "end": self._end}[which]
            made = tf.function(step, autograph=False, input_signature=self._signature())
            check_graph(made.get_concrete_function(), ())
            self._graphs[key] = made
        return self._graphs[key](state, given, np.int32(first), rates)

    # -- graphs ------------------------------------------------------------------------------------

    def _signature(self) -> list[Any]:
        layout, families = self.layout, self.families

        def rows(each: Variable) -> tf.TensorSpec:
            return tf.TensorSpec([None, *each.shape], each.dtype)

        state = {
            "weights": tf.TensorSpec([None, sum(layout.sizes)], layout.trainable[0].dtype),
            "rest": [rows(each) for each in layout.rest],
            "metrics": [rows(each) for each in layout.metrics],
            "slots": [
                {
                    name: tf.TensorSpec([None, family.columns(name)], each.dtype)
                    for name, each in family.cells.items()
                }
                for family in families
            ],
        }
        given = RowInputs(
            counts=tf.TensorSpec([len(families)], tf.int32),
            hyper=tuple(tf.TensorSpec([None, len(each.varying)], tf.float64) for each in families),
            order=tf.TensorSpec([None, None], tf.int32),
        )
        first, rates = tf.TensorSpec([], tf.int32), tf.TensorSpec([None, None], tf.float64)
        return [state, given, first, rates]

    def _train(
        self, size: int, state: State, given: RowInputs, first: Tensor, rates: Tensor
    ) -> Any:
        count = tf.shape(rates)[1]

        def step(place: Tensor, state: State, losses: Tensor) -> Any:
            begin = place * self.batch
            indices = given.order[:, begin : begin + size]
            batch = self.train_data.batch(
                tf.ensure_shape(indices, [None, size if self._static else None])
            )
            gradient, rest, metrics, loss = tf.vectorized_map(
                self._row_gradient, (state["weights"], state["rest"], state["metrics"], batch)
            )
            rate = tf.cast(rates[:, place - first : place - first + 1], gradient.dtype)
            weights, slots = self._update(state, gradient, rate, given)
            new = {"weights": weights, "rest": list(rest), "metrics": list(metrics), "slots": slots}
            return place + 1, new, losses.write(place - first, tf.cast(loss, tf.float32))

        begin = (first, state, tf.TensorArray(tf.float32, size=count, element_shape=[None]))
        _, state, losses = tf.while_loop(
            lambda place, *_: place < first + count, step, begin, parallel_iterations=1
        )
        return state, losses.stack()

    def _end(self, state: State, given: RowInputs, first: Tensor, rates: Tensor) -> Any:
        size = self.train_data.examples % self.batch
        losses = tf.zeros([0, tf.shape(given.order)[0]])
        if size:
            state, losses = self._train(size, state, given, first, rates)
        found = self._results_of(tuple(state["metrics"]))
        weights = self._evaluated(state, given)
        validated = self._test(self.validation_data, weights, tuple(state["rest"]))
        return state, losses, {**found, **{f"val_{name}": each for name, each in validated.items()}}

    def _evaluated(self, state: State, given: RowInputs) -> Tensor:
        """The weights that the rows are evaluated at: (R, parameters)."""
        parts = tf.split(state["weights"], given.counts, num=len(self.families))
        pairs = zip(self.families, parts, state["slots"], given.hyper, strict=True)
        return tf.concat(
            [family.validation_weights(part, slots, own) for family, part, slots, own in pairs],
            axis=0,
        )

    def _row_gradient(self, row: Any) -> Any:
        """One row's gradient (parameters,), and what its batch leaves behind.

        That is the rest, the metrics, and the running mean of the loss.
        """
        flat, rest, metrics, batch = row
        layout = self.layout
        weights = layout.unflatten(flat)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            with layout.scope(weights, rest, metrics) as scope:
                before = _now(scope, layout.trainable)
                loss = measure_batch(self.model, batch, training=True)
                if _differ(before, _now(scope, layout.trainable)):
                    raise CannotCarry(SETS_WEIGHTS)
                mean = running_loss(self.model)
        gradient = self._flat_gradient(tape.gradient(loss, weights))
        return gradient, _now(scope, layout.rest), _now(scope, layout.metrics), mean

    def _flat_gradient(self, found: Sequence[Tensor]) -> Tensor:
        if any(each is None for each in found):
            raise CannotCarry(NO_GRADIENT)
        # Gradients that are accumulated are dense before an optimizer sees them.
        accumulates = any(each.rule.gradient_accumulation_steps for each in self.families)
        if not accumulates and any(isinstance(each, tf.IndexedSlices) for each in found):
            raise CannotCarry(SPARSE_GRADIENT)
        return tf.concat([tf.reshape(tf.convert_to_tensor(each), [-1]) for each in found], axis=0)

    def _update(
        self, state: State, gradient: Tensor, rate: Tensor, given: RowInputs
    ) -> tuple[Tensor, list[State]]:
        """Each family's rule on its own rows: their weights and slots.

        gradient: (R, parameters); rate: (R, 1).
        """
        families, several = self.families, len(self.families) > 1
        parts = [
            tf.split(each, given.counts, num=len(families)) if several else [each]
            for each in (state["weights"], gradient, rate)
        ]
        found = [
            family.update(weights, slots, slope, speed, hyper)
            for family, slots, hyper, weights, slope, speed in zip(
                families, state["slots"], given.hyper, *parts, strict=True
            )
        ]
        weights = [each for each, _ in found]
        slots = [each for _, each in found]
        return tf.concat(weights, axis=0) if several else weights[0], slots

    def _test(self, split: Held, weights: Tensor, rest: Sequence[Tensor]) -> dict[str, Tensor]:
        """Each log's values by row, (R,)."""
        whole, left = divmod(split.examples, self.batch)

        def measured(indices: Tensor, metrics: Sequence[Tensor]) -> Any:
            unknown = tf.raw_ops.PlaceholderWithDefault(input=indices, shape=[None])
            batch = split.batch(indices if self._static else unknown)  # one for all rows
            return tf.vectorized_map(
                lambda row: self._row_test(row, batch), (weights, rest, metrics)
            )

        def step(place: Tensor, metrics: Sequence[Tensor]) -> Any:
            return place + 1, measured(place * self.batch + tf.range(self.batch), metrics)

        metrics = tuple(self.layout.unmetered(tf.shape(weights)[0]))
        _, metrics = tf.while_loop(
            lambda place, *_: place < whole, step, (tf.constant(0), metrics), parallel_iterations=1
        )
        if left:
            metrics = measured(whole * self.batch + tf.range(left), metrics)
        return self._results_of(metrics)

    def _row_test(self, row: Any, batch: Batch) -> Sequence[Tensor]:
        flat, rest, metrics = row
        layout = self.layout
        with layout.scope(layout.unflatten(flat), rest, metrics) as scope:
            before = _now(scope, layout.rest)
            measure_batch(self.model, batch, training=False)
            if _differ(before, _now(scope, layout.rest)):
                raise CannotCarry(CHANGES_IN_EVALUATION)
        return tuple(_now(scope, layout.metrics))

    def _results_of(self, metrics: Sequence[Tensor]) -> dict[str, Tensor]:
        def one(row: Sequence[Tensor]) -> dict[str, Tensor]:
            with keras.StatelessScope(
                state_mapping=list(zip(self.layout.metrics, row, strict=True))
            ):
                return metrics_of(self.model)

        return dict(tf.vectorized_map(one, metrics))


def _now(scope: keras.StatelessScope, variables: Sequence[Variable]) -> list[Tensor]:
    return [scope.get_current_value(each) for each in variables]


def _differ(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether something was assigned in between."""
    return any(before is not after for before, after in zip(one, other, strict=True))


def _by_row(results: Mapping[str, Tensor]) -> list[dict[str, float]]:
    found = {name: value.numpy() for name, value in results.items()}
    rows = len(next(iter(found.values())))
    return [{name: float(values[row]) for name, values in found.items()} for row in range(rows)]
