"""How Keras feeds data: arrays, class weights, and the batches of an epoch.

Private names of Keras, read in 3.15.1; the oldest version that is tested is 3.13.2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as tensorflow_trainer
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from lrsearch.engine.types import Batch, Dataset, Structure


def adapted_array(value: Any) -> Any:
    """What `fit` makes of an array before it trains on it.

    Floats are brought to floatx; a pandas series gets a second axis.
    """
    return array_slicing.convert_to_sliceable(value, target_backend="tensorflow")


def class_weights(y: Structure, weights: dict[int, float]) -> Any:
    """The sample weights that `fit` makes of class weights: (examples,)."""
    return data_adapter_utils.class_weight_to_sample_weights(y, weights)


# -- epochs ---------------------------------------------------------------------------------------

_First = Callable[[Any], Any] | None


class EpochIterator(TFEpochIterator):
    """Keras' own iterator over the epochs of any input, which can begin within an epoch."""

    _asked: tuple[int, int, _First] | None = None
    _within: tuple[int, int, _First] | None = None  # until the first epoch begins
    rest: Any = None  # the adapter of a PyDataset's pass that was begun before

    def begin_within(self, *, done: int, seen: int, first: _First) -> None:
        """Let the first epoch begin after `done` batches, at `seen` of its pass over the data.

        `first` makes the pass's iterator, which stands there; without it the data itself begins
        there.
        """
        self._asked = self._within = (done, seen, first)

    def reset(self) -> None:
        """Begin anew: under a strategy `fit` has looked at a batch by now, to build the model."""
        super().reset()
        self._within = self._asked

    def _enumerate_iterator(self) -> Iterator[Any]:
        within, self._within = self._within, None
        done = 0
        if within is not None:
            done, seen, first = within
            self._current_iterator = iter(self._get_iterator()) if first is None else first(self)
            self._steps_seen = seen - done  # Keras counts the steps that are left out below
        for found in super()._enumerate_iterator():
            if found[0] >= done:
                yield found


def epoch_iterator(**options: Any) -> EpochIterator:
    """An iterator for graphs: adapters, workers, class weights and steps are as in `fit`."""
    return EpochIterator(distribute_strategy=tf.distribute.get_strategy(), **options)


@contextmanager
def taking_epoch_iterator(take: Callable[[EpochIterator], None]) -> Iterator[None]:
    """Hand the iterator of the next `fit`, within, to `take` before its first epoch."""

    def made(*given: Any, **named: Any) -> EpochIterator:
        # the validation's, and those of callbacks, are Keras' own
        tensorflow_trainer.TFEpochIterator = TFEpochIterator
        iterator = EpochIterator(*given, **named)
        take(iterator)
        return iterator

    tensorflow_trainer.TFEpochIterator = made
    try:
        yield
    finally:
        tensorflow_trainer.TFEpochIterator = TFEpochIterator


def dataset_of(iterator: EpochIterator) -> Dataset:
    """What an epoch iterator makes its passes over."""
    return iterator._get_iterator()


def current_iterator(iterator: EpochIterator) -> Any:
    """The pass that is under way, or that comes next."""
    return iterator._current_iterator


def batches_seen(iterator: EpochIterator) -> int:
    """How many batches of the pass under way Keras has counted."""
    return int(iterator._steps_seen)


def element_spec(iterator: EpochIterator) -> Any:
    """The types and shapes of an epoch iterator's batches."""
    return iterator._distributed_dataset.element_spec


def batches_left(iterator: EpochIterator, place: int) -> int:
    """How many batches come in this epoch after the one at `place`, unless the data runs out."""
    steps, known = iterator.steps_per_epoch, iterator._num_batches
    bounds = [steps - place - 1] if steps else []
    bounds += [known - iterator._steps_seen] if known else []
    return min(bounds, default=sys.maxsize)


def ran_out(iterator: EpochIterator, missing: int) -> None:
    """Do what `fit` does, its warning included, where the data ends `missing` batches early."""
    iterator._steps_seen -= missing - 1  # Keras counts the one that was not there
    with iterator.catch_stop_iteration():
        raise StopIteration


# -- a PyDataset from its middle ------------------------------------------------------------------


class _Rest(keras.utils.PyDataset):
    """A PyDataset from one of its batches on."""

    def __init__(self, source: Dataset, place: int) -> None:
        super().__init__(
            workers=source.workers,
            use_multiprocessing=source.use_multiprocessing,
            max_queue_size=source.max_queue_size,
        )
        self._source, self._place = source, place

    @property
    def num_batches(self) -> int | None:
        count = self._source.num_batches
        return None if count is None else count - self._place

    def __getitem__(self, index: int) -> Batch:
        return self._source[self._place + index]


def rest_of_pass(iterator: EpochIterator, *, place: int) -> Any:
    """An iterator over a PyDataset's batches from `place` on, by as many workers as it asks for."""
    adapter = iterator.data_adapter
    rest = _Rest(adapter.py_dataset, place)
    iterator.rest = PyDatasetAdapter(rest, class_weight=adapter.class_weight)
    iterator.rest._output_signature = adapter._output_signature
    return iter(iterator.rest.get_tf_dataset())


def stop_workers(iterator: EpochIterator) -> None:
    """End the threads or processes of a PyDataset whose epoch was left early."""
    for adapter in (iterator.data_adapter, iterator.rest):
        enqueuer = getattr(adapter, "enqueuer", None)
        if enqueuer is not None and enqueuer.is_running():
            with suppress(Exception):
                enqueuer.stop()
