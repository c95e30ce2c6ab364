"""Going on within an epoch: what a checkpoint keeps of a data stream, and how it goes on.

Arrays need nothing, since their order is a function of seed and epoch. A dataset's
iterator is kept where TensorFlow can write the iterator and its state is small. A
PyDataset gives its batches by their number. A note says what could not be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, final

import keras
import numpy as np
import tensorflow as tf

from lrsearch.engine import _tensorflow
from lrsearch.engine._keras_data import EpochIterator
from lrsearch.engine.callbacks import class_names
from lrsearch.engine.data import Arrays, Split
from lrsearch.engine.types import Callback, Dataset, DatasetIterator
from lrsearch.values import Json, Snapshot

# The largest iterator that is kept: most of it is its shuffle buffer, and every
# checkpoint has it.
MOST_STREAM_BYTES = 256 * 2**20
_STATE = "stream/state"
_HOOKS = ("on_epoch_begin", "on_epoch_end")  # a PyDataset may change its order in them


KeptStream: TypeAlias = tuple[dict[str, np.ndarray], dict[str, Json]]
"""What a checkpoint keeps of a stream, beside the model's variables: arrays and JSON."""


@final
class StreamKeeper:
    """Where one attempt's training stream stands: kept at any batch's end, and begun from there."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note  # lets a text go with the outcome
        self._source: Dataset = None
        self._iterator: EpochIterator | None = None
        self._why = ""  # the stream cannot be kept

    def begin(
        self, split: Split, resume: Snapshot | None, iterator: EpochIterator
    ) -> None:
        """Take on Keras' epoch iterator, and let it begin where the checkpoint was taken."""
        self._iterator = iterator
        self._source = _source_of(split)
        if resume is None:
            return
        done = place = resume.batch
        first = None
        if isinstance(self._source, keras.utils.PyDataset):
            count, place = self._source.num_batches, int(resume.meta["batches"])
            place = place % count if count else place
            first = partial(EpochIterator.rest_of_pass, place=place) if place else None
        elif _STATE in resume.arrays:
            place = int(resume.meta["stream"]["seen"])
            first = partial(self._restore, state=resume.arrays[_STATE].tobytes())
        if done or first is not None:
            iterator.begin_within(done=done, seen=place, first=first)

    def keep(self) -> KeptStream:
        """What a checkpoint keeps; nothing of arrays and PyDatasets."""
        if not isinstance(self._source, tf.data.Dataset) or self._iterator is None:
            return {}, {}
        if self._iterator.current_pass is None:
            # The data ran out: the next epoch begins a new pass by itself.
            return {}, {"stream": {"anew": True}}
        state = b"" if self._why else self._state(self._iterator)
        if not state:
            return {}, {"stream": {"why": self._why}}
        seen = self._iterator.batches_seen
        return {_STATE: np.frombuffer(state, np.uint8)}, {"stream": {"seen": seen}}

    def close(self) -> None:
        """End the threads or processes of a PyDataset that was left early."""
        if self._iterator is not None:
            self._iterator.stop_workers()
            self._iterator = None

    def _state(self, iterator: EpochIterator) -> bytes:
        """The iterator, as TensorFlow writes it; empty where it cannot, for the reason kept."""
        try:
            size = _tensorflow.buffered_bytes(self._source)
            if size > MOST_STREAM_BYTES:
                self._why = f"its buffers hold about {size / 2**20:.0f} MiB"
                return b""
            state = _tensorflow.save_iterator(iterator.current_pass)
        except (tf.errors.OpError, AttributeError, TypeError, ValueError) as error:
            self._why = _short(error)
            return b""
        if len(state) > MOST_STREAM_BYTES:
            self._why = f"its state takes {len(state) / 2**20:.0f} MiB"
            return b""
        return state

    def _restore(self, iterator: EpochIterator, state: bytes) -> DatasetIterator:
        """An iterator of the dataset that goes on from `state`.

        A fresh one where this TensorFlow cannot read the state; the outcome notes it.
        """
        restored = iterator.new_pass()
        try:
            _tensorflow.restore_iterator(restored, state)
        except tf.errors.OpError as error:
            self._note(
                f"the trial went on with a fresh pass over the dataset: {_short(error)}"
            )
            return iterator.new_pass()
        return restored


def _source_of(split: Split) -> Dataset:
    return None if isinstance(split, Arrays) else split.source


def _short(error: Exception) -> str:
    """TensorFlow's message, without the places in its code."""
    return (
        str(getattr(error, "message", error))
        .split("}} ")[-1]
        .split(" [Op:")[0]
        .strip()[:200]
    )


def notes_of(
    resume: Snapshot | None, split: Split, callbacks: Sequence[Callback]
) -> tuple[str, ...]:
    """What differs from an uninterrupted run, where a trial goes on within an epoch."""
    if resume is None or not resume.batch:
        return ()
    notes, epoch = [], f"epoch {resume.epoch + 1}"
    if callbacks:
        again = "on_train_begin and on_epoch_begin were called again"
        notes.append(f"{class_names(callbacks)} began anew within {epoch}: {again}")
    source, stream = _source_of(split), resume.meta.get("stream", {})
    is_dataset = isinstance(source, tf.data.Dataset)
    if is_dataset and _STATE not in resume.arrays and not stream.get("anew"):
        why = f": {stream['why']}" if stream.get("why") else ""
        notes.append(
            f"the rest of {epoch} was trained on a fresh pass over the dataset{why}"
        )
    if isinstance(source, keras.utils.PyDataset):
        kind, base = type(source), keras.utils.PyDataset
        own = [
            name for name in _HOOKS if getattr(kind, name) is not getattr(base, name)
        ]
        if own:
            has = f"{kind.__name__} has {' and '.join(own)} of its own"
            notes.append(f"{has}, so the rest of {epoch} may have other batches")
    return tuple(notes)
