"""Where a graph's batches come from: arrays on the device, or a stream.

Arrays are served in an order of ours, a stream by Keras' own epoch iterator.

A feed has two sides. In Python `begin` begins an epoch, counted from 0, of which `done`
batches were trained before. `take` gives the source of the next batches, at most
`most`, and their number, 0 at the epoch's end. `ran_out` learns that the data ended
`missing` batches before that. `close` frees what an epoch that was left early still
has.

In a graph `read(source, place, use, skip)` gives `use(batch)`, or `skip()` after the
last batch. `signature` is the type of `source`. A graph keeps `read` for later trials,
so `read` has nothing of a trial's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, TypeAlias, final

import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine._keras_data import EpochIterator, weigh_examples
from lrsearch.engine.data import Arrays, map_arrays
from lrsearch.engine.types import Batch, DatasetIterator, Structure, Tensor


@final
class DeviceArrays:
    """A split's arrays on the device."""

    def __init__(
        self, split: Arrays, class_weight: dict[int, float] | None = None
    ) -> None:
        self.examples = split.examples
        # the table of `limits` refuses both together
        if class_weight and split.weight is None:
            split = replace(split, weight=weigh_examples(split.y, class_weight))
        self._tensors = map_arrays(tf.convert_to_tensor, split.structure)

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """Every array, in the order of the structure."""
        return tuple(each for each in tree.flatten(self._tensors) if each is not None)

    @property
    def specs(self) -> Structure:
        """The structure of their types, for any number of examples."""
        return map_arrays(
            lambda each: tf.TensorSpec([None, *each.shape[1:]], each.dtype),
            self._tensors,
        )

    def batch(self, indices: Tensor) -> Batch:
        """Gather these examples; indices: any shape, integers."""
        return map_arrays(lambda each: tf.gather(each, indices), self._tensors)


@final
class ArrayFeed:
    """Batches gathered from arrays on the device, which never end early.

    `order(epoch)` is (examples,), int64; an epoch has `steps` batches.
    """

    def __init__(
        self,
        arrays: DeviceArrays,
        *,
        batch: int,
        steps: int,
        order: Callable[[int], np.ndarray],
    ) -> None:
        # The arrays come with every call: another fold's take the same graph.
        specs = arrays.specs
        leaves = [each for each in tree.flatten(specs) if each is not None]
        self.signature = (tf.TensorSpec([None], tf.int64), *leaves)
        self.read = partial(_gather, specs, batch)
        self._arrays = arrays.leaves
        self._batch, self._steps, self._order = batch, steps, order

    def begin(self, epoch: int, done: int = 0) -> None:
        self._now, self._place = self._order(epoch), done

    def take(self, most: int) -> tuple[tuple[Tensor, ...], int]:
        first, last = self._place, min(self._place + most, self._steps)
        self._place = last
        places = self._now[first * self._batch : last * self._batch]
        return (tf.constant(places, tf.int64), *self._arrays), last - first

    def ran_out(self, missing: int) -> None:
        pass

    def close(self) -> None:
        pass


@final
class StreamFeed:
    """Batches of a dataset; where its length is not an epoch's steps, it does what `fit` does.

    `anew` begins the dataset again in every epoch, as `fit` validates; without it Keras
    decides.
    """

    def __init__(self, iterator: EpochIterator, *, anew: bool) -> None:
        self.read = _read_next
        self._iterator, self._anew = iterator, anew
        if not anew:
            iterator.reset()

    @property
    def signature(self) -> tf.data.IteratorSpec:
        return tf.data.IteratorSpec(self._iterator.element_spec)

    def begin(self, epoch: int, done: int = 0) -> None:
        del epoch, done  # the iterator knows them: `EpochIterator.begin_within`
        if self._anew:
            self._iterator.reset()
        # A second `iter` of Keras' iterator would begin again.
        self._places: Iterator[Any] = (each for each in self._iterator)

    def take(self, most: int) -> tuple[DatasetIterator, int]:
        first = next(self._places, None)
        if first is None:
            return None, 0
        place, _, source = first
        # Never take more batches than there are: asked for one too many, the iterator
        # ends its epoch and tells the dataset.
        more = islice(self._places, min(most - 1, self._iterator.batches_left(place)))
        return source, 1 + sum(1 for _ in more)

    def ran_out(self, missing: int) -> None:
        self._iterator.end_early(missing)
        self._places = iter(())

    def close(self) -> None:
        self._iterator.stop_workers()


Feed: TypeAlias = ArrayFeed | StreamFeed
"""One split's batches, epoch by epoch; see the module."""


def _gather(
    specs: Structure,
    batch: int,
    source: tuple[Tensor, ...],
    place: Tensor,
    use: Callable[[Batch], Structure],
    _skip: Callable[[], Structure],
) -> Structure:
    order, *arrays = source
    begin, given = place * batch, iter(arrays)
    chosen = order[begin : tf.minimum(begin + batch, tf.size(order))]
    return use(map_arrays(lambda _: tf.gather(next(given), chosen), specs))


def _read_next(
    iterator: DatasetIterator,
    _place: Tensor,
    use: Callable[[Batch], Structure],
    skip: Callable[[], Structure],
) -> Structure:
    found = iterator.get_next_as_optional()
    return tf.cond(found.has_value(), lambda: use(found.get_value()), skip)
