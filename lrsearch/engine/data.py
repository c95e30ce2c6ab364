"""Training data: checked once, then fed in an order that is ours.

Arrays become what Keras' own adapter makes of them (floats become floatx), and are served in the
order `permutation(seed, epoch)`, the same in every engine, so that a trial can be repeated and
resumed exactly. Datasets and PyDatasets keep the order they have. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine.arrays import digest_of, not_finite, read_array
from lrsearch.engine.types import Batch, Dataset, Structure, Tensor
from lrsearch.errors import InvalidValue
from lrsearch.values import Json

DEFAULT_BATCH = 32  # Keras' own, for arrays without a batch size


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A split in memory: structures of arrays with the same first axis."""

    x: Structure  # of (examples, ...)
    y: Structure | None  # (examples, ...); None for a model that has no target
    weight: Structure | None  # (examples,)
    examples: int
    digests: tuple[Json, ...] = ()  # of each array as it was given
    # int64 places of the rows with NaN or infinity, by part
    bad: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def structure(self) -> Batch:
        """`(x,)`, `(x, y)` or `(x, y, weight)`, as Keras' adapter packs them."""
        if self.weight is not None:
            return (self.x, self.y, self.weight)
        return (self.x,) if self.y is None else (self.x, self.y)

    @property
    def arrays(self) -> list[np.ndarray]:
        """Every array of the split."""
        return [each for each in tree.flatten(self.structure) if each is not None]

    @property
    def numeric(self) -> bool:
        """Whether all of it is numbers; the rest is strings."""
        return all(each.dtype != object for each in self.arrays)

    def for_keras(self) -> Batch:
        """The structure as `fit` and `evaluate` take it: strings as tensors."""

        def fed(each: np.ndarray) -> Any:
            return tf.constant(each) if each.dtype == object else each

        return tuple(mapped(fed, self.structure))

    def steps(self, batch_size: int | None) -> int:
        """Batches an epoch, the last one as large as it comes."""
        return -(-self.examples // (batch_size or DEFAULT_BATCH))

    def take(self, count: int) -> Batch:
        """The first `count` examples."""
        return self.rows(np.arange(min(count, self.examples))).for_keras()

    def rows(self, places: np.ndarray) -> Arrays:
        """The split of these examples alone."""
        parts = (self.x, self.y, self.weight)
        x, y, weight = (mapped(lambda each: each[places], part) for part in parts)
        return Arrays(x=x, y=y, weight=weight, examples=len(places))


def mapped(function: Callable[[Any], Any], structure: Structure) -> Structure:
    """`function` of every array in a structure; None stays None."""
    return tree.map_structure(function, structure, none_is_leaf=False)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A split that brings its own batches: a tf.data.Dataset or a PyDataset."""

    source: Dataset
    length: int | None  # batches; None where it is unknown or infinite

    examples: None = None
    endless: bool = False

    def steps(self, batch_size: int | None) -> int | None:
        del batch_size
        return self.length


Split = Arrays | Stream


@dataclass(frozen=True, kw_only=True)
class Data:
    """What `load_data` returned, checked."""

    train: Split
    validation: Split
    test: Split | None


def check_data(loaded: Any) -> Data:
    """The splits that `load_data` returned. Raises InvalidValue for what cannot be trained on."""
    if not isinstance(loaded, tuple | list) or len(loaded) not in {2, 3}:
        shown = f"a {type(loaded).__name__}"
        shown += f" of {len(loaded)}" if isinstance(loaded, tuple | list) else ""
        allowed = "a function that returns (train, validation) or (train, validation, test)"
        raise InvalidValue("load_data", got=shown, allowed=allowed)
    names = ("train", "validation", "test")
    splits = [check_split(name, split) for name, split in zip(names, loaded, strict=False)]
    train, validation, test = (*splits, None)[:3]
    assert train is not None
    assert validation is not None
    return Data(train=train, validation=validation, test=test)


def check_split(name: str, split: Any) -> Split:
    """One split: arrays `(x, y)` or `(x, y, sample_weight)`, a Dataset or a PyDataset."""
    if isinstance(split, tf.data.Dataset):
        length = int(split.cardinality())
        endless = length == tf.data.INFINITE_CARDINALITY
        return Stream(source=split, length=length if length >= 0 else None, endless=endless)
    if isinstance(split, keras.utils.PyDataset):
        count = split.num_batches
        batches = None if count is None else int(count)
        return Stream(source=split, length=batches, endless=count is None)
    if not isinstance(split, tuple | list) or len(split) not in {2, 3}:
        allowed = (
            "(x, y) or (x, y, sample_weight) of arrays, a tf.data.Dataset or a "
            "keras.utils.PyDataset"
        )
        got = f"a {type(split).__name__}"
        raise InvalidValue(f"the {name} split of load_data", got=got, allowed=allowed)
    given = dict(zip(("x", "y", "sample_weight"), (*split, None), strict=False))
    places = [(f"{part} of the {name} split", _tuples(value)) for part, value in given.items()]
    x, y, weight = (mapped(partial(read_array, label), value) for label, value in places)
    parts = {"x": x, "y": y, "sample_weight": weight}
    examples = _check_arrays(name, parts)
    given_arrays = [each for _, value in places for each in tree.flatten(value)]
    return Arrays(
        x=x,
        y=y,
        weight=weight,
        examples=examples,
        digests=tuple(digest_of(each) for each in given_arrays if each is not None),
        bad=_bad_rows(name, parts),
    )


def _tuples(part: Structure) -> Structure:
    """Lists as tuples: tf.data would make one tensor of a list."""
    if isinstance(part, dict):
        return {name: _tuples(each) for name, each in part.items()}
    return tuple(_tuples(each) for each in part) if isinstance(part, list | tuple) else part


def _labelled(parts: Mapping[str, Structure]) -> list[tuple[str, np.ndarray]]:
    """Every array with the name of its place: `x`, `x[1]`, `y`, ..."""
    return [
        (f"{part}[{place}]" if place else part, array)
        for part, structure in parts.items()
        for place, array in enumerate(tree.flatten(structure))
        if array is not None
    ]


def _check_arrays(name: str, parts: Mapping[str, Structure]) -> int:
    """The number of examples. Raises InvalidValue where the arrays do not agree on one."""
    lengths: dict[str, int] = {}
    for label, array in _labelled(parts):
        if array.ndim == 0:
            field, allowed = f"{label} of the {name} split", "an array of examples"
            raise InvalidValue(field, got="a single number", allowed=allowed)
        lengths[label] = len(array)
    field = f"the {name} split of load_data"
    if 0 in lengths.values() or not tree.flatten(parts["x"]):
        allowed = "at least one example, not empty"
        raise InvalidValue(field, got="an empty array", allowed=allowed)
    if len(set(lengths.values())) > 1:
        raise InvalidValue(field, got=lengths, allowed="arrays of one length")
    return next(iter(lengths.values()))


def _bad_rows(name: str, parts: Mapping[str, Structure]) -> dict[str, np.ndarray]:
    """The rows that hold NaN or infinity, by "x of the train split" and so on."""
    found = {f"{label} of the {name} split": not_finite(array) for label, array in _labelled(parts)}
    return {label: rows for label, rows in found.items() if len(rows)}


def permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The order of an epoch's examples, int64 (examples,): a function of seed and epoch alone."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(examples)


def training_stream(
    split: Arrays,
    *,
    batch_size: int | None,
    seed: int,
    first_epoch: int,
    epochs: int,
    shuffle: bool,
    first_batch: int = 0,
) -> tf.data.Dataset:
    """Batches of the epochs from `first_epoch` on; of the first one those from `first_batch` on."""
    batch, examples = batch_size or DEFAULT_BATCH, split.examples
    held = _held_by_host(split)

    def order(epoch: np.ndarray) -> np.ndarray:
        return permutation(seed, int(epoch), examples) if shuffle else np.arange(examples)

    def batches(epoch: Tensor) -> tf.data.Dataset:
        drawn = tf.numpy_function(order, [epoch], tf.int64, stateful=False)
        indices = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(drawn, (examples,)))
        done = tf.where(epoch == first_epoch, first_batch, 0)
        return indices.batch(batch).skip(tf.cast(done, tf.int64))

    return _gathered(tf.data.Dataset.range(first_epoch, epochs).flat_map(batches), held)


def epoch_stream(
    split: Arrays,
    *,
    batch_size: int | None,
    steps: int,
    seed: int,
    shuffle: bool,
    epoch: Callable[[], int],
) -> tf.data.Dataset:
    """The first `steps` batches of one epoch: of the one that `epoch()` names at each iteration."""
    batch, examples = batch_size or DEFAULT_BATCH, split.examples
    used = min(steps * batch, examples)

    def order() -> np.ndarray:
        return permutation(seed, epoch(), examples)[:used] if shuffle else np.arange(used)

    def batches(_: Tensor) -> tf.data.Dataset:
        indices = tf.ensure_shape(tf.numpy_function(order, [], tf.int64, stateful=True), (used,))
        return tf.data.Dataset.from_tensor_slices(indices).batch(batch)

    stream = _gathered(tf.data.Dataset.range(1).flat_map(batches), _held_by_host(split))
    return stream.apply(tf.data.experimental.assert_cardinality(steps))


def _held_by_host(split: Arrays) -> Structure:
    # Arrays are often larger than what the model leaves free on the device.
    with tf.device("CPU:0"):
        return mapped(tf.convert_to_tensor, split.structure)


def _gathered(indices: tf.data.Dataset, held: Structure) -> tf.data.Dataset:
    def gather(chosen: Tensor) -> Structure:
        return mapped(lambda each: tf.gather(each, chosen), held)

    return indices.map(gather, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def digest_parts(split: Split | None) -> list[Json]:
    """A split's shapes, types and sampled checksums; of a stream, its element specification."""
    if split is None:
        return []
    if isinstance(split, Stream):
        spec = getattr(split.source, "element_spec", type(split.source).__name__)
        return [repr(spec), split.length]
    return list(split.digests)


def sample_batch(split: Split, batch_size: int | None) -> Batch:
    """One batch of the shapes that the model will see: a dataset's own only where it must be."""
    if isinstance(split, Arrays):
        return split.take(batch_size or DEFAULT_BATCH)
    if isinstance(split.source, keras.utils.PyDataset):
        return _standard(split.source[0])
    # A look at the dataset itself would move its shuffling on by an epoch.
    return _standard(_zeros(split.source.element_spec) or next(iter(split.source)))


def _standard(batch: Any) -> Batch:
    """As Keras' adapters understand a batch: a tuple, or a dict of inputs."""
    if isinstance(batch, dict):
        return batch
    return tuple(batch) if isinstance(batch, tuple | list) else (batch,)


def _zeros(spec: Any) -> Any:
    """A batch of zeros, of one example where the batch size is open; None where more is open."""

    def known(each: Any) -> bool:
        tensor = isinstance(each, tf.TensorSpec) and each.shape.rank is not None
        return tensor and None not in each.shape[1:]

    def zeros(each: Any) -> Tensor:
        return tf.zeros([size or 1 for size in each.shape], each.dtype)

    return tree.map_structure(zeros, spec) if all(map(known, tree.flatten(spec))) else None
