"""Training data: checked once, then fed in an order that is ours.

Arrays are served in the order `permutation(seed, epoch)`, the same in every engine, so that a trial can be repeated and resumed
exactly. Datasets and PyDatasets keep the order they have. Knows nothing of models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.errors import InvalidValue

DEFAULT_BATCH = 32  # Keras' own, for arrays without a batch size
_SAMPLED_ROWS = 4096  # of each array, for the digest: all of a small one, enough of a large one to notice another


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A split in memory: structures of arrays with the same first axis."""

    x: Any
    y: Any
    weight: Any | None
    examples: int

    @property
    def structure(self) -> tuple[Any, ...]:
        return (self.x, self.y) if self.weight is None else (self.x, self.y, self.weight)

    def steps(self, batch_size: int | None) -> int:
        """Batches an epoch, the last one as large as it comes."""
        return -(-self.examples // (batch_size or DEFAULT_BATCH))

    def take(self, count: int) -> tuple[Any, ...]:
        """The first `count` examples."""
        return tree.map_structure(lambda each: each[:count], self.structure)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A split that brings its own batches: a tf.data.Dataset or a PyDataset."""

    source: Any
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
        shown = f"a {type(loaded).__name__}" + (f" of {len(loaded)}" if isinstance(loaded, tuple | list) else "")
        raise InvalidValue(
            "load_data", got=shown, allowed="a function that returns (train, validation) or (train, validation, test)"
        )
    names = ("train", "validation", "test")
    splits = [check_split(name, split) for name, split in zip(names, loaded, strict=False)]
    return Data(train=splits[0], validation=splits[1], test=splits[2] if len(splits) > 2 else None)  # noqa: PLR2004


def check_split(name: str, split: Any) -> Split:
    """One split: arrays `(x, y)` or `(x, y, sample_weight)`, a Dataset or a PyDataset."""
    if isinstance(split, tf.data.Dataset):
        length = int(split.cardinality())
        endless = length == tf.data.INFINITE_CARDINALITY
        return Stream(source=split, length=length if length >= 0 else None, endless=endless)
    if isinstance(split, keras.utils.PyDataset):
        count = split.num_batches
        return Stream(source=split, length=None if count is None else int(count), endless=count is None)
    if not isinstance(split, tuple | list) or len(split) not in {2, 3}:
        allowed = "(x, y) or (x, y, sample_weight) of arrays, a tf.data.Dataset or a keras.utils.PyDataset"
        raise InvalidValue(f"the {name} split of load_data", got=f"a {type(split).__name__}", allowed=allowed)
    x, y, weight = (*split, None)[:3]
    x, y, weight = (None if part is None else tree.map_structure(_array, _tuples(part)) for part in (x, y, weight))
    return Arrays(x=x, y=y, weight=weight, examples=_check_arrays(name, {"x": x, "y": y, "sample_weight": weight}))


def _tuples(part: Any) -> Any:
    """Lists as tuples: tf.data would make one tensor of a list."""
    if isinstance(part, dict):
        return {name: _tuples(each) for name, each in part.items()}
    return tuple(_tuples(each) for each in part) if isinstance(part, list | tuple) else part


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype == object:
        raise InvalidValue("load_data", got="an array of Python objects", allowed="arrays of numbers or strings")
    return array


def _check_arrays(name: str, parts: Mapping[str, Any]) -> int:
    lengths: dict[str, int] = {}
    for part, structure in parts.items():
        if structure is None:
            continue
        for place, array in enumerate(tree.flatten(structure)):
            label = f"{part}[{place}]" if place else part
            if array.ndim == 0:
                raise InvalidValue(f"{label} of the {name} split", got="a single number", allowed="an array of examples")
            _check_finite(f"{label} of the {name} split", array)
            lengths[label] = len(array)
    if 0 in lengths.values():
        raise InvalidValue(f"the {name} split of load_data", got="an empty array", allowed="at least one example, not empty")
    if len(set(lengths.values())) > 1:
        raise InvalidValue(f"the {name} split of load_data", got=lengths, allowed="arrays of one length")
    return next(iter(lengths.values()))


def _check_finite(label: str, array: np.ndarray) -> None:
    if not np.issubdtype(array.dtype, np.floating):
        return
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(each) for each in np.argwhere(bad)[0])
        kind = "NaN" if np.isnan(array[first]) else "infinity"
        raise InvalidValue(
            label, got=f"{kind} at {list(first)} ({int(bad.sum())} in all)", allowed="finite", fix="Clean the data."
        )


def permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The order of an epoch's examples, int64 (examples,): a function of seed and epoch alone."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(examples)


def training_stream(
    split: Arrays, *, batch_size: int | None, seed: int, first_epoch: int, epochs: int, shuffle: bool, first_batch: int = 0
) -> tf.data.Dataset:
    """The epochs from `first_epoch` on, one after another, in batches; the first one from `first_batch` on."""
    batch, examples = batch_size or DEFAULT_BATCH, split.examples
    with tf.device("CPU:0"):  # a data set is often larger than what the model leaves free on the device
        held = tree.map_structure(tf.convert_to_tensor, split.structure)

    def order(epoch: np.ndarray) -> np.ndarray:
        return permutation(seed, int(epoch), examples) if shuffle else np.arange(examples)

    def batches(epoch: Any) -> tf.data.Dataset:
        indices = tf.ensure_shape(tf.numpy_function(order, [epoch], tf.int64, stateful=False), (examples,))
        done = tf.where(epoch == first_epoch, first_batch, 0)
        return tf.data.Dataset.from_tensor_slices(indices).batch(batch).skip(tf.cast(done, tf.int64))

    def gather(indices: Any) -> Any:
        return tree.map_structure(lambda each: tf.gather(each, indices), held)

    stream = tf.data.Dataset.range(first_epoch, epochs).flat_map(batches).map(gather, num_parallel_calls=tf.data.AUTOTUNE)
    return stream.prefetch(tf.data.AUTOTUNE)


def digest_parts(split: Split | None) -> list[Any]:
    """Shapes, types and a sampled checksum of a split's arrays; for a stream, its element specification."""
    import hashlib

    if split is None:
        return []
    if isinstance(split, Stream):
        spec = getattr(split.source, "element_spec", type(split.source).__name__)
        return [repr(spec), split.length]
    found = []
    for array in tree.flatten(split.structure):
        step = max(1, math.ceil(len(array) / _SAMPLED_ROWS))
        checksum = hashlib.sha256(
            np.ascontiguousarray(array[::step]).tobytes() if array.dtype.kind in "biufc" else repr(array[::step]).encode()
        )
        found.append([list(array.shape), str(array.dtype), checksum.hexdigest()[:16]])
    return found


def sample_batch(split: Split, batch_size: int | None) -> Any:
    """One batch of the shapes that the model will see; a dataset's own only where its shapes are not known."""
    if isinstance(split, Arrays):
        return split.take(batch_size or DEFAULT_BATCH)
    if isinstance(split.source, keras.utils.PyDataset):
        return _standard(split.source[0])
    # A look at the dataset itself would move its shuffling on by an epoch.
    return _standard(_zeros(split.source.element_spec) or next(iter(split.source)))


def _standard(batch: Any) -> Any:
    """As Keras' adapters understand a batch: a tuple, or a dict of inputs."""
    return batch if isinstance(batch, dict) else tuple(batch) if isinstance(batch, tuple | list) else (batch,)


def _zeros(spec: Any) -> Any:
    """A batch of zeros, one example where the batch size is open; None where more than that is open."""
    specs = tree.flatten(spec)
    if any(not isinstance(each, tf.TensorSpec) or each.shape.rank is None or None in each.shape[1:] for each in specs):
        return None
    return tree.map_structure(lambda each: tf.zeros([size or 1 for size in each.shape], each.dtype), spec)
