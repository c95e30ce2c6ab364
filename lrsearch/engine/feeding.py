"""Where a graph's batches come from: arrays on the device, or a stream.

Arrays are served in an order of ours, a stream by Keras' own epoch iterator.

A feed has two sides. In Python it counts: `begin` an epoch, `take` so many of its batches. In a
graph its `read` gets one batch from what `take` gave. A graph keeps `read` for later trials, so
`read` holds nothing of a trial's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from lrsearch.engine._keras_data import EpochIterator
from lrsearch.engine.types import Batch, Tensor


class Feed(Protocol):
    """One split's batches, epoch by epoch."""

    @property
    def signature(self) -> Any:
        """The type of what `take` gives a graph."""

    @property
    def read(self) -> Callable[..., Any]:
        """`read(source, place, use, skip)` gives `use(batch)`, or `skip()` after the last batch."""

    def begin(self, epoch: int, done: int = 0) -> None:
        """An epoch, counted from 0, of which `done` batches were trained before."""

    def take(self, most: int) -> tuple[Any, int]:
        """The source of the next batches and their number, at most `most`; 0 at the epoch's end."""

    def ran_out(self, missing: int) -> None:
        """Told where the data ended `missing` batches before what `take` gave."""

    def close(self) -> None:
        """Free what an epoch that was left early still holds."""


class ArrayFeed:
    """Batches gathered from arrays on the device.

    `order(epoch)` is (examples,), int64; an epoch has `steps` batches.
    """

    signature = tf.TensorSpec([None], tf.int64)

    def __init__(
        self, held: Any, *, batch: int, steps: int, order: Callable[[int], np.ndarray]
    ) -> None:
        self.read = partial(_gather, held, batch)
        self._steps, self._order = steps, order
        self._batch, self._place = batch, steps
        self._now = np.zeros(0, np.int64)

    def begin(self, epoch: int, done: int = 0) -> None:
        self._now, self._place = self._order(epoch), done

    def take(self, most: int) -> tuple[Any, int]:
        first, last = self._place, min(self._place + most, self._steps)
        self._place = last
        return tf.constant(
            self._now[first * self._batch : last * self._batch], tf.int64
        ), last - first

    def ran_out(self, missing: int) -> None:
        raise AssertionError(f"arrays do not end early: {missing} batches")

    def close(self) -> None:
        pass


class StreamFeed:
    """Batches of a dataset; where its length is not an epoch's steps, it does what `fit` does.

    `anew` begins the dataset again in every epoch, as `fit` validates; without it Keras decides.
    """

    def __init__(self, iterator: EpochIterator, *, anew: bool) -> None:
        self.read = _next
        self._iterator, self._anew = iterator, anew
        self._places: Iterator[Any] = iter(())
        if not anew:
            iterator.reset()

    @property
    def signature(self) -> Any:
        return tf.data.IteratorSpec(self._iterator.element_spec)

    def begin(self, epoch: int, done: int = 0) -> None:
        del epoch, done  # the iterator was told: `EpochIterator.begin_within`
        if self._anew:
            self._iterator.reset()
        # asked for `iter` again, Keras' iterator would begin again
        self._places = (each for each in self._iterator)

    def take(self, most: int) -> tuple[Any, int]:
        first = next(self._places, None)
        if first is None:
            return None, 0
        place, _, source = first
        # Never one more than there are: the iterator ends its epoch, and tells the dataset, when it
        # is asked for one too many.
        more = islice(self._places, min(most - 1, self._iterator.batches_left(place)))
        return source, 1 + sum(1 for _ in more)

    def ran_out(self, missing: int) -> None:
        self._iterator.end_early(missing)
        self._places = iter(())

    def close(self) -> None:
        self._iterator.stop_workers()


def _gather(
    held: Any, batch: int, order: Any, place: Any, use: Callable[[Batch], Any], skip: Any
) -> Any:
    del skip
    begin = place * batch
    return use(held.batch(order[begin : tf.minimum(begin + batch, tf.size(order))]))


def _next(
    iterator: Any, place: Tensor, use: Callable[[Batch], Any], skip: Callable[[], Any]
) -> Any:
    del place
    found = iterator.get_next_as_optional()
    return tf.cond(found.has_value(), lambda: use(found.get_value()), skip)
