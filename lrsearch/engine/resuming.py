"""Going on within an epoch: what a checkpoint keeps of a data stream, and how it goes on.

Arrays need nothing, since their order is a function of seed and epoch. Of a dataset its iterator is
kept, where TensorFlow can write it and it is small; a PyDataset gives its batches by their number.
What could not be kept is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrsearch.engine import _tensorflow
from lrsearch.engine._keras_data import EpochIterator
from lrsearch.engine.data import Arrays, Split
from lrsearch.engine.types import Callback, Dataset
from lrsearch.values import Json, Snapshot

# of an iterator, its shuffle buffer above all: every checkpoint holds it
MOST_STREAM_BYTES = 256 * 2**20
_STATE = "stream/state"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Of a stream, beside the model's variables: arrays and JSON."""

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    meta: Mapping[str, Json] = field(default_factory=dict)


class StreamKeeper:
    """Where one attempt's training stream stands: kept at any batch's end, and begun from there."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note  # lets a text go with the outcome
        self._source: Dataset = None
        self._iterator: EpochIterator | None = None
        self._why = ""  # the stream cannot be kept

    def begin(self, split: Split, resume: Snapshot | None, iterator: EpochIterator) -> None:
        """Take on Keras' epoch iterator, and let it begin where the checkpoint was taken."""
        self._iterator = iterator
        self._source = None if isinstance(split, Arrays) else split.source
        if resume is None:
            return
        done, place = resume.batch, resume.batch
        first = None
        if isinstance(self._source, keras.utils.PyDataset):
            count = self._source.num_batches
            place = int(resume.meta["batches"]) % count if count else int(resume.meta["batches"])
            first = partial(EpochIterator.rest_of_pass, place=place) if place else None
        elif _STATE in resume.arrays:
            place = int(resume.meta["stream"]["seen"])
            first = partial(self._restored, state=resume.arrays[_STATE].tobytes())
        if done or first is not None:
            iterator.begin_within(done=done, seen=place, first=first)

    def keep(self) -> Kept:
        """What a checkpoint keeps; of arrays and PyDatasets nothing."""
        if not isinstance(self._source, tf.data.Dataset) or self._iterator is None:
            return Kept()
        if self._iterator.current_pass is None:
            # the data ran out: the next epoch begins a new pass by itself
            return Kept(meta={"stream": {"anew": True}})
        state = b"" if self._why else self._state(self._iterator)
        if not state:
            return Kept(meta={"stream": {"why": self._why}})
        seen = self._iterator.batches_seen
        return Kept(
            arrays={_STATE: np.frombuffer(state, np.uint8)}, meta={"stream": {"seen": seen}}
        )

    def close(self) -> None:
        """End the threads or processes of a PyDataset that was left early."""
        if self._iterator is not None:
            self._iterator.stop_workers()
            self._iterator = None

    def _state(self, iterator: EpochIterator) -> bytes:
        """The iterator, as TensorFlow writes it; empty, and the reason kept, where it cannot."""
        try:
            size = _tensorflow.held_bytes(self._source)
            if size > MOST_STREAM_BYTES:
                self._why = f"its buffers hold about {size / 2**20:.0f} MiB"
                return b""
            state = _tensorflow.saved_iterator(iterator.current_pass)
        except (tf.errors.OpError, AttributeError, TypeError, ValueError) as error:
            self._why = _short(error)
            return b""
        if len(state) > MOST_STREAM_BYTES:
            self._why = f"its state takes {len(state) / 2**20:.0f} MiB"
            return b""
        return state

    def _restored(self, iterator: EpochIterator, state: bytes) -> Any:
        """A dataset's iterator that goes on from `state`.

        A fresh one where this TensorFlow cannot read the state; the outcome notes it.
        """
        begun = iterator.new_pass()
        try:
            _tensorflow.restore_iterator(begun, state)
        except tf.errors.OpError as error:
            self._note(f"the trial went on with a fresh pass over the dataset: {_short(error)}")
            return iterator.new_pass()
        return begun


def _short(error: Exception) -> str:
    """What TensorFlow says, without the places in its code."""
    return str(getattr(error, "message", error)).split("}} ")[-1].split(" [Op:")[0].strip()[:200]


def notes_of(
    resume: Snapshot | None, split: Split, callbacks: Sequence[Callback]
) -> tuple[str, ...]:
    """What differs from an uninterrupted run, where a trial goes on within an epoch."""
    if resume is None or not resume.batch:
        return ()
    said, epoch = [], f"epoch {resume.epoch + 1}"
    if callbacks:
        names = ", ".join(sorted({type(each).__name__ for each in callbacks}))
        said.append(
            f"{names} began anew within {epoch}: on_train_begin and on_epoch_begin were called again"
        )
    source = None if isinstance(split, Arrays) else split.source
    stream = resume.meta.get("stream", {})
    if (
        isinstance(source, tf.data.Dataset)
        and _STATE not in resume.arrays
        and not stream.get("anew")
    ):
        why = stream.get("why", "")
        said.append(
            f"the rest of {epoch} was trained on a fresh pass over the dataset"
            + (f": {why}" if why else "")
        )
    if isinstance(source, keras.utils.PyDataset) and (hooks := _hooks(source)):
        said.append(
            f"{type(source).__name__} has {hooks} of its own, so the rest of {epoch} may have other batches"
        )
    return tuple(said)


def _hooks(source: Any) -> str:
    """The methods by which a PyDataset may change its order between epochs."""
    names = ("on_epoch_begin", "on_epoch_end")
    return " and ".join(
        name
        for name in names
        if getattr(type(source), name) is not getattr(keras.utils.PyDataset, name)
    )
