"""Which weights a run ends with: those that were validated last, an earlier epoch's, or others.

`EarlyStopping(restore_best_weights=True)`, and callbacks like it, put an earlier epoch's weights
back when training is over. A value must be that of the weights that are kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrsearch.engine import _keras
from lrsearch.engine.watching import Track


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Weights that are not the last epoch's: those of `epoch` (from 1), or of none (None)."""

    epoch: int | None


class KeptWeights(keras.callbacks.Callback):
    """Comes first in the list: it sees an epoch's weights before a callback swaps others in for the
    validation.
    """

    def __init__(self, track: Track) -> None:
        super().__init__()
        self._track = track
        self._validated: dict[str, int] = {}  # epochs by their weights' digest
        self._last = ""

    def on_test_begin(self, logs: Any = None) -> None:
        del logs
        self._last = digest_of_weights(self.model)
        self._validated[self._last] = self._track.epoch + 1

    def kept(self, model: Any) -> Kept | None:
        """What the finished model holds instead of the last epoch's weights; None where it holds
        those, or their average.
        """
        now = digest_of_weights(model)
        if now == self._last or _keras.holds_moving_average(model):
            return None
        return Kept(epoch=self._validated.get(now))


def digest_of_weights(model: Any) -> str:
    """Equal for equal weights, statistics included; seeds are none of them."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()
