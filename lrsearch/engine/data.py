"""Training data: checked once, then fed in an order that is ours.

Arrays become what Keras' own adapter makes of them (floats become floatx). Every engine
trains them in the order `order_of(seed, epoch)`, so that a trial can be repeated and
resumed exactly. Datasets and PyDatasets keep the order they have. Knows nothing of
models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine.arrays import array_to_json, digest, find_gaps, read_array
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
    checksums: tuple[Json, ...] = ()  # `array_to_json` of each array as it was given
    # The rows with NaN or infinity, (rows,), int64, by array: "x of the train split"
    # and so on.
    bad: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def structure(self) -> Batch:
        """`(x,)`, `(x, y)` or `(x, y, weight)`, as Keras' adapter packs them."""
        if self.weight is not None:
            return (self.x, self.y, self.weight)
        return (self.x,) if self.y is None else (self.x, self.y)

    @property
    def given(self) -> Batch:
        """`(x, y)` or `(x, y, weight)`, as `load_data` returns a split."""
        return (
            (self.x, self.y) if self.weight is None else (self.x, self.y, self.weight)
        )

    @property
    def arrays(self) -> list[np.ndarray]:
        """Every array of the split."""
        return [each for each in tree.flatten(self.structure) if each is not None]

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays."""
        return sum(each.nbytes for each in self.arrays)

    @property
    def numeric(self) -> bool:
        """Whether all of it is numbers; the rest is strings."""
        return all(each.dtype != object for each in self.arrays)

    def for_keras(self) -> Batch:
        """The structure as `fit` and `evaluate` take it: arrays, or tensors where some are strings.

        Strings have to be tensors, and a model that is called refuses tensors beside
        arrays.
        """
        if self.numeric:
            return self.structure
        with tf.device("CPU:0"):
            return tuple(map_arrays(tf.constant, self.structure))

    def steps(self, batch_size: int | None) -> int:
        """Count the batches of an epoch; the last one may be smaller."""
        return -(-self.examples // (batch_size or DEFAULT_BATCH))

    def rows(self, places: np.ndarray) -> Arrays:
        """The split of these examples alone; places: (rows,), int64."""
        parts = (self.x, self.y, self.weight)
        x, y, weight = (map_arrays(lambda each: each[places], part) for part in parts)
        return Arrays(x=x, y=y, weight=weight, examples=len(places))

    def to_json(self) -> list[Json]:
        """Shapes, types and checksums of some rows."""
        return list(self.checksums)


def map_arrays(function: Callable[[Any], Any], structure: Structure) -> Structure:
    """Apply `function` to every array in a structure; None stays None."""
    return tree.map_structure(function, structure, none_is_leaf=False)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A split that brings its own batches: a tf.data.Dataset or a PyDataset."""

    source: Dataset
    length: int | None  # batches; None where the number is unknown or infinite

    examples: None = None
    endless: bool = False

    def steps(self, batch_size: int | None) -> int | None:
        """Count the batches of an epoch."""
        del batch_size
        return self.length

    def to_json(self) -> list[Json]:
        """The types of the batches and their number."""
        spec = getattr(self.source, "element_spec", type(self.source).__name__)
        return [repr(spec), self.length]


Split = Arrays | Stream


@dataclass(frozen=True, kw_only=True)
class Data:
    """What `load_data` returned, checked."""

    train: Split
    validation: Split
    test: Split | None = None

    @property
    def splits(self) -> dict[str, Split | None]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def digests(self) -> dict[str, str]:
        """A digest of every split, by name; a stored study keeps them."""
        return {
            name: digest(each.to_json() if each else [])
            for name, each in self.splits.items()
        }


def check_data(loaded: Any) -> Data:
    """Check what `load_data` returned. Raises InvalidValue for what cannot be trained on."""
    return Data(
        **{name: check_split(name, split) for name, split in splits_of(loaded).items()}
    )


def splits_of(loaded: Any) -> dict[str, Any]:
    """What `load_data` returned, by split: unchecked. Raises InvalidValue for anything else."""
    listed = isinstance(loaded, tuple | list)
    if not listed or len(loaded) not in {2, 3}:
        got = f"a {type(loaded).__name__}" + (f" of {len(loaded)}" if listed else "")
        allowed = (
            "a function that returns (train, validation) or (train, validation, test)"
        )
        fix = "Of arrays, each of them is (x, y)."
        raise InvalidValue("load_data", got=got, allowed=allowed, fix=fix)
    return dict(zip(("train", "validation", "test"), loaded, strict=False))


def check_split(name: str, split: Any) -> Split:
    """Check one split: arrays `(x, y)` or `(x, y, sample_weight)`, a Dataset or a PyDataset."""
    if isinstance(split, tf.data.Dataset):
        length = int(split.cardinality())
        endless = length == tf.data.INFINITE_CARDINALITY
        return Stream(
            source=split, length=length if length >= 0 else None, endless=endless
        )
    if isinstance(split, keras.utils.PyDataset):
        count = split.num_batches
        batches = None if count is None else int(count)
        return Stream(source=split, length=batches, endless=count is None)
    whole = f"the {name} split of load_data"
    if not isinstance(split, tuple | list) or len(split) not in {2, 3}:
        allowed = (
            "(x, y) or (x, y, sample_weight) of arrays, a tf.data.Dataset or a "
            "keras.utils.PyDataset"
        )
        raise InvalidValue(whole, got=f"a {type(split).__name__}", allowed=allowed)
    parts = zip(("x", "y", "sample_weight"), split, strict=False)
    values = {part: _lists_to_tuples(value) for part, value in parts}
    read = {
        part: _read_arrays(name, part, structure) for part, structure in values.items()
    }
    arrays = _name_arrays(read)
    gaps = {
        f"{label} of the {name} split": find_gaps(array)
        for label, array in arrays.items()
    }
    return Arrays(
        x=read["x"],
        y=read["y"],
        weight=read.get("sample_weight"),
        examples=_check_lengths(name, whole, arrays),
        checksums=tuple(array_to_json(each) for each in _name_arrays(values).values()),
        bad={label: rows for label, rows in gaps.items() if len(rows)},
    )


def _lists_to_tuples(part: Structure) -> Structure:
    """Make tuples of lists: tf.data would make one tensor of a list."""
    if isinstance(part, dict):
        return {name: _lists_to_tuples(each) for name, each in part.items()}
    return (
        tuple(map(_lists_to_tuples, part)) if isinstance(part, list | tuple) else part
    )


def _read_arrays(name: str, part: str, structure: Structure) -> Structure:
    """Read every array of a part of the split `name`; an error names the array's place."""
    arrays = [
        None if value is None else read_array(f"{label} of the {name} split", value)
        for label, value in _label_leaves(part, structure)
    ]
    return tree.pack_sequence_as(structure, arrays)


def _label_leaves(part: str, structure: Structure) -> Iterator[tuple[str, Any]]:
    """Label the leaves by their places: `x`, `x[1]`, `x['age']`; None is a leaf."""
    for place, leaf in tree.flatten_with_path(structure):
        yield part + "".join(f"[{each!r}]" for each in place), leaf


def _name_arrays(parts: Mapping[str, Structure]) -> dict[str, np.ndarray]:
    """List every array by its place: `x`, `x[1]`, `x['age']`, `y`, ..."""
    return {
        label: array
        for part, structure in parts.items()
        for label, array in _label_leaves(part, structure)
        if array is not None
    }


def _check_lengths(name: str, field: str, arrays: Mapping[str, np.ndarray]) -> int:
    """Return the number of examples. Raises InvalidValue where the arrays differ in length."""
    for label, array in arrays.items():
        if array.ndim == 0:
            place, allowed = f"{label} of the {name} split", "an array of examples"
            fix = "Make an array of a list in load_data: numpy.array(...)."
            raise InvalidValue(place, got="a single number", allowed=allowed, fix=fix)
    lengths = {label: len(array) for label, array in arrays.items()}
    if 0 in lengths.values() or not any(label.startswith("x") for label in lengths):
        allowed = "at least one example, not empty"
        fix = "See which files and rows load_data finds."
        raise InvalidValue(field, got="an empty array", allowed=allowed, fix=fix)
    if len(set(lengths.values())) > 1:
        fix = "Every example needs its target, and its weight where there are weights."
        raise InvalidValue(field, got=lengths, allowed="arrays of one length", fix=fix)
    return next(iter(lengths.values()))


def order_of(seed: int, epoch: int, examples: int, *, shuffle: bool) -> np.ndarray:
    """The order of an epoch's examples, int64 (examples,): a function of seed and epoch alone."""
    if not shuffle:
        return np.arange(examples)
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(
        examples
    )


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
    """Serve the epochs from `first_epoch` on; the first one begins at `first_batch`."""
    batch, examples = batch_size or DEFAULT_BATCH, split.examples

    def order(epoch: np.ndarray) -> np.ndarray:
        return order_of(seed, int(epoch), examples, shuffle=shuffle)

    def batches(epoch: Tensor) -> tf.data.Dataset:
        drawn = tf.numpy_function(order, [epoch], tf.int64, stateful=False)
        indices = tf.data.Dataset.from_tensor_slices(
            tf.ensure_shape(drawn, (examples,))
        )
        done = tf.where(epoch == first_epoch, first_batch, 0)
        return indices.batch(batch).skip(tf.cast(done, tf.int64))

    return _gather(split, tf.data.Dataset.range(first_epoch, epochs).flat_map(batches))


def epoch_stream(
    split: Arrays,
    *,
    batch_size: int | None,
    steps: int,
    seed: int,
    shuffle: bool,
    epoch: Callable[[], int],
) -> tf.data.Dataset:
    """Serve the first `steps` batches of the epoch that `epoch()` names at each iteration."""
    batch, examples = batch_size or DEFAULT_BATCH, split.examples
    used = min(steps * batch, examples)

    def order() -> np.ndarray:
        return order_of(seed, epoch(), examples, shuffle=shuffle)[:used]

    def batches(_: Tensor) -> tf.data.Dataset:
        indices = tf.ensure_shape(
            tf.numpy_function(order, [], tf.int64, stateful=True), (used,)
        )
        return tf.data.Dataset.from_tensor_slices(indices).batch(batch)

    stream = _gather(split, tf.data.Dataset.range(1).flat_map(batches))
    return stream.apply(tf.data.experimental.assert_cardinality(steps))


def _gather(split: Arrays, indices: tf.data.Dataset) -> tf.data.Dataset:
    """Serve the examples of these indices, (batch,), int64 each."""
    # The arrays stay with the host: they are often larger than what the model leaves
    # free on the device.
    with tf.device("CPU:0"):
        tensors = map_arrays(tf.convert_to_tensor, split.structure)

    def gather(chosen: Tensor) -> Structure:
        return map_arrays(lambda each: tf.gather(each, chosen), tensors)

    return indices.map(gather, num_parallel_calls=tf.data.AUTOTUNE).prefetch(
        tf.data.AUTOTUNE
    )


def sample_batch(split: Split, batch_size: int | None) -> Batch:
    """Make one batch of the shapes that the model will see."""
    if isinstance(split, Arrays):
        size = min(batch_size or DEFAULT_BATCH, split.examples)
        return split.rows(np.arange(size)).for_keras()
    if isinstance(split.source, keras.utils.PyDataset):
        return _unpack(split.source[0])
    # Zeros where possible: a look at the dataset itself would move its shuffling on by
    # an epoch.
    return _unpack(_zeros(split.source.element_spec) or next(iter(split.source)))


def _unpack(batch: Any) -> Batch:
    """Read a batch as Keras' adapters do: a tuple, or a dict of inputs."""
    if isinstance(batch, dict):
        return batch
    return tuple(batch) if isinstance(batch, tuple | list) else (batch,)


def _zeros(spec: Any) -> Any:
    """Make a batch of zeros, of one example where the batch size is open; None where more is."""

    def is_known(each: Any) -> bool:
        tensor = isinstance(each, tf.TensorSpec) and each.shape.rank is not None
        return tensor and None not in each.shape[1:]

    def zeros(each: Any) -> Tensor:
        return tf.zeros([size or 1 for size in each.shape], each.dtype)

    return (
        tree.map_structure(zeros, spec)
        if all(map(is_known, tree.flatten(spec)))
        else None
    )
