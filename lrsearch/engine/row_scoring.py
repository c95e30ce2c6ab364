"""What each row of a split contributes to the objective, measured by one more evaluation.

An objective that Keras keeps as a mean, a total by a count, is taken apart: each row is
a batch of its own, and leaves its own total and count. The model itself is called on
whole batches, unless its loss comes from within the call (activity regularizers,
`add_loss`) or its outputs have masks. A kept model measures the weights of every trial,
whatever engine trained them, so that rows are measured alike and one trace serves all
trials. Knows nothing of attempts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeAlias, final
from weakref import ReferenceType, ref

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine._keras_model import (
    build_layers,
    call_model,
    computes_in_half,
    has_own,
    have_masks,
    mean_metrics,
    measure_outputs,
    metrics_of,
    own_loop,
)
from lrsearch.engine._tensorflow import teach_vectorized_map
from lrsearch.engine.data import DEFAULT_BATCH, Arrays, Split
from lrsearch.engine.types import Batch, Metric, Model, Structure, Tensor
from lrsearch.values import MOST_ROWS, RowScores

Weights: TypeAlias = Sequence[np.ndarray]
"""The values of `model.variables`, in their order."""

# batches per call: without gradients as many rows take about a training step's memory
CHUNK = 8
# How far the rows' mean may lie from the logged value, relative to the mean of absolute
# contributions: float32 differs by some 1e-6 with the order of summation, 16-bit types
# by 1e-4.
TOLERANCE, HALF_TOLERANCE = 1e-4, 1e-3
_ROUNDING = 1e-2  # of a metric in 16 bits
NO_MEAN = "the logged {objective} is not the mean over rows: a sum, a mask, or a mean of batches"


class NoRowScores(Exception):
    """There are no row scores; the text says why."""


@final
class RowScorer:
    """Measures rows for every trial of one structure; see the module.

    `model` is kept, and its compile is the user's. `sample`: a batch that builds it.
    Raises NoRowScores where the objective is no mean over the rows of a split.
    """

    def __init__(self, model: Model, sample: Batch, objective: str) -> None:
        check_objective(objective)
        check_model(model)
        teach_vectorized_map()
        self.objective, self.model = objective, model
        build_layers(model, sample)
        model.test_step(sample)  # makes the metrics' variables
        model.reset_metrics()
        self._mean = _metric_of(model, objective.removeprefix("val_"))
        self._unmetered = [(each, each.numpy()) for each in model.metrics_variables]
        self._measure = tf.function(
            self._measure_rows, autograph=False, reduce_retracing=True
        )
        self._structure: Structure = None  # of the batches that were measured last
        self.misses = 0  # attempts in a row whose value was not the rows' mean
        # Digests of arrays by the split's id; another split may have the id of one that
        # is gone.
        self._digests: dict[int, tuple[ReferenceType[Arrays], str]] = {}

    def fits(self, contributions: np.ndarray, value: float) -> bool:
        """Whether the mean of the contributions is the logged value, up to noise of floats."""
        scale = max(float(np.abs(contributions).mean()), 1e-7)
        tolerance = HALF_TOLERANCE if computes_in_half(self.model) else TOLERANCE
        return bool(abs(contributions.mean() - value) <= tolerance * scale)

    def measure(
        self,
        weights: Weights,
        split: Split,
        batch_size: int | None,
        steps: int | None = None,
    ) -> tuple[np.ndarray, str]:
        """Each row's contribution, (rows,), float64, and the digest of the targets in order.

        `steps` is the number of batches where not all are evaluated.
        """
        values = [tf.convert_to_tensor(each) for each in weights]
        totals, counts, targets = [], [], _Targets()
        for batch in map(
            keras.utils.unpack_x_y_sample_weight, _batches(split, batch_size, steps)
        ):
            total, count = self._call(values, batch)
            totals.append(total)
            counts.append(count)
            if not self._known_digest(split):
                targets.add(batch)
        total, count = (
            np.concatenate(each).astype(np.float64) for each in (totals, counts)
        )
        digest = self._known_digest(split) or targets.digest
        if isinstance(split, Arrays):
            self._digests[id(split)] = ref(split), digest
        return total * len(total) / max(count.sum(), np.finfo(np.float64).tiny), digest

    def _known_digest(self, split: Split) -> str:
        split_of, digest = self._digests.get(id(split), (lambda: None, ""))
        return digest if split_of() is split else ""

    def _call(
        self, values: Sequence[Tensor], batch: Batch
    ) -> tuple[np.ndarray, np.ndarray]:
        leaves = [each for each in tree.flatten(batch) if each is not None]
        self._structure = tree.map_structure(
            lambda each: None if each is None else True, batch
        )
        total, count = self._measure(
            values, [tf.convert_to_tensor(each) for each in leaves]
        )
        return total.numpy(), count.numpy()

    # -- in the graph ------------------------------------------------------------------

    def _measure_rows(
        self, values: Sequence[Tensor], leaves: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Totals and counts of a batch's rows, (rows,) each."""
        given = self._structure
        with self._scope(values) as scope:
            outputs = call_model(self.model, _fill(given, leaves)[0], training=False)
        if scope.losses or have_masks(outputs):
            outputs = None
        called = tree.flatten(outputs) if outputs is not None else []

        def row(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            parts = [each[None] for each in parts]
            batch, own = _fill(given, parts[: len(leaves)]), parts[len(leaves) :]
            with self._scope(values) as scope:
                x = batch[0]
                made = (
                    call_model(self.model, x, training=False)
                    if outputs is None
                    else tree.pack_sequence_as(outputs, own)
                )
                measure_outputs(self.model, batch, made, training=False)
                total, count = self._mean.total, self._mean.count
                return scope.get_current_value(total), scope.get_current_value(count)

        total, count = tf.vectorized_map(row, [*leaves, *called])
        return total, count

    def _scope(self, values: Sequence[Tensor]) -> keras.StatelessScope:
        """Give the model's variables these values, and the metrics those of no batch."""
        pairs = [*zip(self.model.variables, values, strict=True), *self._unmetered]
        return keras.StatelessScope(state_mapping=pairs, collect_losses=True)


def to_row_scores(split: str, contributions: np.ndarray, digest: str) -> RowScores:
    """What is kept of a split's contributions: all, or a fixed sample of MOST_ROWS."""
    rows = len(contributions)
    if rows > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False)
        contributions = contributions[np.sort(chosen)]
    values = contributions.astype(np.float32)
    return RowScores(split=split, values=values, digest=digest, rows=rows)


# -- what can be taken apart -----------------------------------------------------------


def check_objective(objective: str) -> None:
    """Raise NoRowScores for an objective of the training itself."""
    if not objective.startswith("val_"):
        raise NoRowScores(f"{objective} is not measured on the validation split")


def check_model(model: Model) -> None:
    """Raise NoRowScores for a model that evaluates in its own way."""
    own = [name for name in ("test_step", "compute_metrics") if _replaces(model, name)]
    if method := next(iter(own), "") or own_loop(model):
        raise NoRowScores(f"the model has a {method} of its own")


def _replaces(model: Model, method: str) -> bool:
    return has_own(model, method) or method in vars(model)


def _metric_of(model: Model, name: str) -> Metric:
    """The mean that is logged under `name`.

    Each of the model's means is given a result of its own, and the log shows which one
    it is.
    """
    means = mean_metrics(model)
    marks = [1.5 + place / 7 for place in range(len(means))]
    pairs = [(each.total, mark * 3) for each, mark in zip(means, marks, strict=True)]
    pairs += [(each.count, 3.0) for each in means]
    with keras.StatelessScope(state_mapping=pairs):
        logs = metrics_of(model)
    if name not in logs:
        raise NoRowScores(f"no metric of the model logs val_{name}")
    found = np.asarray(logs[name])
    for metric, mark in zip(means, marks, strict=True):
        if found.ndim == 0 and abs(found - mark) < _ROUNDING:
            return metric
    raise NoRowScores(f"val_{name} is no mean over rows")


# -- batches ---------------------------------------------------------------------------


def _batches(split: Split, batch_size: int | None, steps: int | None) -> Iterator[Any]:
    """A split's batches, in order; of arrays many batches at once."""
    if isinstance(split, Arrays):
        batch = batch_size or DEFAULT_BATCH
        count = min(split.examples, steps * batch) if steps else split.examples
        whole = split.for_keras()
        for begin in range(0, count, CHUNK * batch):
            rows = slice(begin, min(begin + CHUNK * batch, count))
            yield tree.map_structure(itemgetter(rows), whole, none_is_leaf=False)
    elif isinstance(split.source, keras.utils.PyDataset):
        for place in range(steps or split.length or 0):
            yield split.source[place]
    else:
        yield from split.source.take(steps) if steps else split.source


def _fill(structure: Structure, leaves: Sequence[Tensor]) -> Structure:
    """The structure with these leaves in the places of its own; None stays None."""
    given = iter(leaves)
    flat = [None if each is None else next(given) for each in tree.flatten(structure)]
    return tree.pack_sequence_as(structure, flat)


@final
class _Targets:
    """A digest of targets in order, whatever their batches; of inputs where there are none."""

    def __init__(self) -> None:
        self._hashes: list[Any] = []

    def add(self, batch: Batch) -> None:
        x, y, _ = batch
        leaves = [
            each for each in tree.flatten(x if y is None else y) if each is not None
        ]
        self._hashes = self._hashes or [hashlib.sha256() for _ in leaves]
        for known, each in zip(self._hashes, leaves, strict=True):
            array = np.asarray(each)
            content = (
                repr(array.tolist()).encode()
                if array.dtype == object
                else array.tobytes()
            )
            known.update(content)

    @property
    def digest(self) -> str:
        whole = b"".join(each.digest() for each in self._hashes)
        return hashlib.sha256(whole).hexdigest()[:16]
