"""Many trials of one model in one TensorFlow graph.

The model is called once, under `tf.vectorized_map`, on a row of weights; TensorFlow
makes of that call a graph that calls the model on all rows at once. All trainable
weights of a trial are one row of a matrix (`RowLayout`), so that an optimizer's update
is a few operations on a matrix instead of a few on every weight. Nothing is assigned: a
stretch of training is a function from a state to a state, and rows come and go between
two calls. The number of rows is no part of a graph: one trace serves them all.

A state of R rows: `weights`, `rest` and, within an epoch, `metrics`, as in `RowLayout`;
`slots`, for each family the state of its rows. Rows lie in the families' order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias, final

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
from lrsearch.engine.feeding import DeviceArrays
from lrsearch.engine.layout import RowLayout
from lrsearch.engine.limits import (
    CHANGES_IN_EVALUATION,
    NO_GRADIENT,
    SETS_WEIGHTS,
    SPARSE_GRADIENT,
    CannotCarry,
    check_graph,
    check_rows,
)
from lrsearch.engine.types import Batch, Function, Model, Structure, Tensor, Variable

State: TypeAlias = dict[str, Structure]


class RowInputs(NamedTuple):
    """What a graph takes beside a state."""

    counts: Tensor  # (families,), int32: rows of each family
    # of each family (rows, varying), float64: its hyperparameters
    hyper: tuple[Tensor, ...]
    order: Tensor  # (R, examples), int32: each row's own order of the epoch's examples


@final
class StackedProgram:
    """One model's graphs for any number of rows; see the module.

    `draws`: the model's start values come from tf.random, as in `Program`.
    """

    def __init__(
        self,
        model: Model,
        train: DeviceArrays,
        validation: DeviceArrays,
        *,
        batch_size: int | None,
        draws: bool,
    ) -> None:
        teach_vectorized_map()
        self.model, self.draws = model, draws
        self.train_data, self.validation_data = train, validation
        self.batch = batch_size or DEFAULT_BATCH
        self.sample = train.batch(tf.range(min(self.batch, train.examples)))
        build_fully(model, self.sample)
        model.test_step(self.sample)  # makes the metrics' variables
        model.reset_metrics()
        self.layout = RowLayout(model)
        # A size that is known while the graph is traced makes kernels quicker. `fit`
        # does not know the size then, and the means of losses that are tracked one by
        # one depend on that.
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
        """Batches of an epoch that are whole; a shorter last one has a graph of its own."""
        return self.train_data.examples // self.batch

    def empty_state(self) -> State:
        """A state without rows, between two epochs."""
        layout = self.layout
        weights = tf.zeros((0, sum(layout.sizes)), layout.trainable[0].dtype)
        rest = [tf.zeros((0, *each.shape), each.dtype) for each in layout.rest]
        return {"weights": weights, "rest": rest, "slots": self.empty_slots()}

    def empty_slots(self) -> list[State]:
        """The slots of no rows, for each family: each (0, columns)."""
        return [
            {
                name: tf.zeros((0, family.columns(name)), cell.dtype)
                for name, cell in family.cells.items()
            }
            for family in self.families
        ]

    # -- training ----------------------------------------------------------------------

    def train(
        self, state: State, inputs: RowInputs, first: int, rates: np.ndarray
    ) -> tuple[State, np.ndarray]:
        """Train whole batches from `first` on, as many as `rates` has.

        rates: (R, batches), float64, real learning rates. Returns the running means of
        the losses, (batches, R), float32, with the new state.
        """
        state, losses = self._run("train", state, inputs, first, rates)
        return state, losses.numpy()

    def end_epoch(
        self, state: State, inputs: RowInputs, rates: np.ndarray
    ) -> tuple[State, np.ndarray, list[dict[str, float]]]:
        """Train the shorter last batch, if there is one, and validate.

        Takes and returns what `train` does, and also returns each row's logs.
        """
        state, losses, logs = self._run("end", state, inputs, self.full_steps, rates)
        return state, losses.numpy(), _by_row(logs)

    def evaluate(
        self, weights: Tensor, rest: Sequence[Tensor], split: DeviceArrays
    ) -> list[dict[str, float]]:
        """Each row's logs on a split, without a prefix; weights: (R, parameters)."""
        if id(split) not in self._tests:
            self._tests[id(split)] = tf.function(
                lambda w, r: self._test(split, w, r),
                autograph=False,
                reduce_retracing=True,
            )
        return _by_row(self._tests[id(split)](weights, tuple(rest)))

    def _run(
        self, which: str, state: State, inputs: RowInputs, first: int, rates: np.ndarray
    ) -> Structure:
        """Call the graph for the families that there are now.

        "train" is for whole batches, "end" for what comes after them.
        """
        key = (len(self.families), which)
        if key not in self._graphs:
            step = {"train": partial(self._train, self.batch), "end": self._end}[which]
            signature = [
                *tf.nest.map_structure(_any_rows, (state, inputs)),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([None, None], tf.float64),
            ]
            made = tf.function(step, autograph=False, input_signature=signature)
            concrete = made.get_concrete_function()
            check_graph(concrete, ())
            check_rows(concrete)
            self._graphs[key] = made
        return self._graphs[key](state, inputs, np.int32(first), rates)

    # -- graphs ------------------------------------------------------------------------

    def _train(
        self, size: int, state: State, inputs: RowInputs, first: Tensor, rates: Tensor
    ) -> tuple[State, Tensor]:
        """Train batches of `size` examples from `first` on; as `train`, in the graph."""
        count = tf.shape(rates)[1]

        def step(place: Tensor, state: State, losses: Tensor) -> Structure:
            begin = place * self.batch
            indices = inputs.order[:, begin : begin + size]
            indices = tf.ensure_shape(indices, [None, size if self._static else None])
            batch = self.train_data.batch(indices)
            gradient, rest, metrics, loss = tf.vectorized_map(
                self._row_gradient,
                (state["weights"], state["rest"], state["metrics"], batch),
            )
            rate = tf.cast(rates[:, place - first : place - first + 1], gradient.dtype)
            weights, slots = self._update(state, gradient, rate, inputs)
            new = {
                "weights": weights,
                "rest": list(rest),
                "metrics": list(metrics),
                "slots": slots,
            }
            return (
                place + 1,
                new,
                losses.write(place - first, tf.cast(loss, tf.float32)),
            )

        begin = (
            first,
            state,
            tf.TensorArray(tf.float32, size=count, element_shape=[None]),
        )
        _, state, losses = tf.while_loop(
            lambda place, *_: place < first + count, step, begin, parallel_iterations=1
        )
        return state, losses.stack()

    def _end(
        self, state: State, inputs: RowInputs, first: Tensor, rates: Tensor
    ) -> tuple[State, Tensor, dict[str, Tensor]]:
        """As `end_epoch`, in the graph; the logs' values are (R,)."""
        size = self.train_data.examples % self.batch
        losses = tf.zeros([0, tf.shape(inputs.order)[0]])
        if size:
            state, losses = self._train(size, state, inputs, first, rates)
        logs = self._results_of(tuple(state["metrics"]))
        weights = self._evaluated_weights(state, inputs)
        validated = self._test(self.validation_data, weights, tuple(state["rest"]))
        return (
            state,
            losses,
            {**logs, **{f"val_{name}": each for name, each in validated.items()}},
        )

    def _evaluated_weights(self, state: State, inputs: RowInputs) -> Tensor:
        """The weights that the rows are evaluated at: (R, parameters)."""
        parts = tf.split(state["weights"], inputs.counts, num=len(self.families))
        rows = zip(self.families, parts, state["slots"], inputs.hyper, strict=True)
        return tf.concat(
            [family.validation_weights(*own) for family, *own in rows], axis=0
        )

    def _row_gradient(self, row: Structure) -> Structure:
        """One row's gradient (parameters,), and what its batch leaves behind.

        A batch leaves the rest, the metrics, and the running mean of the loss, ().
        """
        flat, rest, metrics, batch = row
        layout = self.layout
        weights = layout.unflatten(flat)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            with layout.scope(weights, rest, metrics) as scope:
                before = _values(scope, layout.trainable)
                loss = measure_batch(self.model, batch, training=True)
                if _differ(before, _values(scope, layout.trainable)):
                    raise CannotCarry(SETS_WEIGHTS)
                mean = running_loss(self.model)
        gradient = self._flat_gradient(tape.gradient(loss, weights))
        return (
            gradient,
            _values(scope, layout.rest),
            _values(scope, layout.metrics),
            mean,
        )

    def _flat_gradient(self, gradients: Sequence[Tensor]) -> Tensor:
        if any(each is None for each in gradients):
            raise CannotCarry(NO_GRADIENT)
        # Gradients that are accumulated are dense before an optimizer sees them.
        accumulates = any(
            each.rule.gradient_accumulation_steps for each in self.families
        )
        if not accumulates and any(
            isinstance(each, tf.IndexedSlices) for each in gradients
        ):
            raise CannotCarry(SPARSE_GRADIENT)
        flat = [tf.reshape(tf.convert_to_tensor(each), [-1]) for each in gradients]
        return tf.concat(flat, axis=0)

    def _update(
        self, state: State, gradient: Tensor, rate: Tensor, inputs: RowInputs
    ) -> tuple[Tensor, list[State]]:
        """Each family's rule on its own rows: their weights and slots.

        gradient: (R, parameters); rate: (R, 1).
        """
        families, several = self.families, len(self.families) > 1
        weights, gradients, rates = (
            tf.split(each, inputs.counts, num=len(families)) if several else [each]
            for each in (state["weights"], gradient, rate)
        )
        rows = zip(
            families,
            weights,
            state["slots"],
            gradients,
            rates,
            inputs.hyper,
            strict=True,
        )
        updated = [family.update(*own) for family, *own in rows]
        new = [each for each, _ in updated]
        return tf.concat(new, axis=0) if several else new[0], [
            slots for _, slots in updated
        ]

    def _test(
        self, split: DeviceArrays, weights: Tensor, rest: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Each log's values by row, (R,); weights: (R, parameters)."""
        whole, left = divmod(split.examples, self.batch)

        def measure(indices: Tensor, metrics: Sequence[Tensor]) -> Structure:
            unknown = tf.raw_ops.PlaceholderWithDefault(input=indices, shape=[None])
            # one for all rows
            batch = split.batch(indices if self._static else unknown)
            return tf.vectorized_map(
                lambda row: self._row_test(row, batch), (weights, rest, metrics)
            )

        def step(place: Tensor, metrics: Sequence[Tensor]) -> Structure:
            return place + 1, measure(
                place * self.batch + tf.range(self.batch), metrics
            )

        metrics = tuple(self.layout.unmetered(tf.shape(weights)[0]))
        _, metrics = tf.while_loop(
            lambda place, *_: place < whole,
            step,
            (tf.constant(0), metrics),
            parallel_iterations=1,
        )
        if left:
            metrics = measure(whole * self.batch + tf.range(left), metrics)
        return self._results_of(metrics)

    def _row_test(self, row: Structure, batch: Batch) -> Sequence[Tensor]:
        """One row's metrics after a batch."""
        flat, rest, metrics = row
        layout = self.layout
        with layout.scope(layout.unflatten(flat), rest, metrics) as scope:
            before = _values(scope, layout.rest)
            measure_batch(self.model, batch, training=False)
            if _differ(before, _values(scope, layout.rest)):
                raise CannotCarry(CHANGES_IN_EVALUATION)
        return tuple(_values(scope, layout.metrics))

    def _results_of(self, metrics: Sequence[Tensor]) -> dict[str, Tensor]:
        """Each metric's result by row, (R,); metrics: each (R, ...)."""

        def one(row: Sequence[Tensor]) -> dict[str, Tensor]:
            pairs = list(zip(self.layout.metrics, row, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return metrics_of(self.model)

        return dict(tf.vectorized_map(one, metrics))


def _any_rows(part: Tensor | np.ndarray) -> tf.TensorSpec:
    """The type of a part of a state or of its inputs, whatever its first axis has."""
    return tf.TensorSpec([None, *part.shape[1:]], part.dtype)


def _values(scope: keras.StatelessScope, variables: Sequence[Variable]) -> list[Tensor]:
    return [scope.get_current_value(each) for each in variables]


def _differ(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether something was assigned in between."""
    return any(before is not after for before, after in zip(one, other, strict=True))


def _by_row(logs: Mapping[str, Tensor]) -> list[dict[str, float]]:
    """Each row's logs; logs: (R,) each."""
    columns = [value.numpy().tolist() for value in logs.values()]
    return [dict(zip(logs, row, strict=True)) for row in zip(*columns, strict=True)]
