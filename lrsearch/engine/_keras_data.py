"""How Keras feeds data: arrays, class weights, and the batches of an epoch.

Private names of Keras, read in 3.15.1; the oldest version that is tested is 3.13.2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import keras
from keras.src.backend.tensorflow import trainer as tensorflow_trainer
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from lrsearch.engine.types import Batch, Dataset, Structure


def adapt_array(value: Any) -> Any:
    """Convert an array as `fit` does before it trains.

    Floats are brought to floatx; a pandas series gets a second axis.
    """
    return array_slicing.convert_to_sliceable(value, target_backend="tensorflow")


def weigh_examples(y: Structure, weights: dict[int, float]) -> Any:
    """Return the sample weights that `fit` makes of class weights: (examples,)."""
    return data_adapter_utils.class_weight_to_sample_weights(y, weights)


# -- epochs ----------------------------------------------------------------------------

_First = Callable[["EpochIterator"], Any] | None


class EpochIterator(TFEpochIterator):
    """Keras' own iterator over the epochs of any input, which can begin within an epoch.

    A pass is one iteration over the data; it may be longer or shorter than an epoch.
    """

    _beginning: tuple[int, int, _First] | None = None  # what `begin_within` was given
    # None once the first epoch began
    _next_beginning: tuple[int, int, _First] | None = None
    _rest: Any = None  # the adapter of a PyDataset's pass that was begun before

    def begin_within(self, *, done: int, seen: int, first: _First) -> None:
        """Let the first epoch begin after `done` batches, at `seen` of its pass over the data.

        `first` makes the pass's iterator, which stands there; without it the data
        itself begins there.
        """
        self._beginning = self._next_beginning = (done, seen, first)

    def reset(self) -> None:
        """Begin anew: under a strategy `fit` has looked at a batch by now, to build the model."""
        super().reset()
        self._next_beginning = self._beginning

    def _enumerate_iterator(self) -> Iterator[Any]:
        beginning, self._next_beginning = self._next_beginning, None
        done = 0
        if beginning is not None:
            done, seen, first = beginning
            self._current_iterator = self.new_pass() if first is None else first(self)
            # Keras counts the steps that are left out below
            self._steps_seen = seen - done
        for step in super()._enumerate_iterator():
            if step[0] >= done:
                yield step

    def new_pass(self) -> Any:
        """Begin a pass over the data from its first batch."""
        return iter(self._get_iterator())

    def rest_of_pass(self, *, place: int) -> Any:
        """Begin a pass over a PyDataset at batch `place`, by as many workers as it asks for."""
        adapter = self.data_adapter
        rest = _Rest(adapter.py_dataset, place)
        self._rest = PyDatasetAdapter(rest, class_weight=adapter.class_weight)
        self._rest._output_signature = adapter._output_signature
        return iter(self._rest.get_tf_dataset())

    @property
    def current_pass(self) -> Any:
        """The pass that is under way or comes next; None after the data ran out."""
        return self._current_iterator

    @property
    def batches_seen(self) -> int:
        """How many batches of the current pass Keras has counted."""
        return int(self._steps_seen)

    @property
    def element_spec(self) -> Any:
        """The types and shapes of the batches."""
        return self._distributed_dataset.element_spec

    def batches_left(self, place: int) -> int:
        """Count this epoch's batches after the one at `place`, unless the data runs out."""
        steps, known = self.steps_per_epoch, self._num_batches
        bounds = [steps - place - 1] if steps else []
        bounds += [known - self._steps_seen] if known else []
        return min(bounds, default=sys.maxsize)

    def end_early(self, missing: int) -> None:
        """Do what `fit` does, its warning included, where the data ends `missing` batches early."""
        self._steps_seen -= missing - 1  # Keras counts the one that was not there
        with self.catch_stop_iteration():
            raise StopIteration

    def stop_workers(self) -> None:
        """End the threads or processes of a PyDataset whose epoch was left early."""
        for adapter in (self.data_adapter, self._rest):
            enqueuer = getattr(adapter, "enqueuer", None)
            if enqueuer is not None and enqueuer.is_running():
                with suppress(Exception):
                    enqueuer.stop()


@contextmanager
def intercept_epoch_iterator(use: Callable[[EpochIterator], None]) -> Iterator[None]:
    """Call `use` with the iterator of the next `fit` within, before its first epoch."""

    def make(*arguments: Any, **options: Any) -> EpochIterator:
        # Keras makes those of the validation and of callbacks by itself.
        tensorflow_trainer.TFEpochIterator = TFEpochIterator
        iterator = EpochIterator(*arguments, **options)
        use(iterator)
        return iterator

    tensorflow_trainer.TFEpochIterator = make
    try:
        yield
    finally:
        tensorflow_trainer.TFEpochIterator = TFEpochIterator


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
