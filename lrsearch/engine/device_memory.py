"""The memory of the device that trains: what is used, what was used at most, what there is.

On a GPU TensorFlow's own allocator reports all three. On a CPU the used memory is this
process'. The memory there is includes a part of the free memory: the rest belongs to
other workers.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from lrsearch.engine._tensorflow import memory_limit
from lrsearch.machine import free_bytes, resident_bytes

SHARE_OF_FREE = 8  # one worker may grow to this part of a machine's free memory
# Part of a GPU's memory. The allocator cannot use all of the rest: its free pieces are
# too small.
USABLE = 0.85


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceMemory:
    """Bytes of the first device."""

    used: float  # now
    peak: float  # the most since `forget_peak`; on a CPU what is used now
    limit: float  # what this process may use; infinity where it is not known

    @property
    def room(self) -> float:
        """What is left."""
        return self.limit - self.used


def read_memory() -> DeviceMemory:
    """Read the memory of the first GPU, or of this process where it has none."""
    if (gpu := _first_gpu()) is None:
        used = float(resident_bytes())
        return DeviceMemory(
            used=used, peak=used, limit=used + free_bytes() / SHARE_OF_FREE
        )
    known = tf.config.experimental.get_memory_info(gpu)
    limit = USABLE * memory_limit(gpu)
    return DeviceMemory(
        used=float(known["current"]), peak=float(known["peak"]), limit=limit
    )


def forget_peak() -> None:
    """Let the peak be what is used now."""
    if (gpu := _first_gpu()) is not None:
        tf.config.experimental.reset_memory_stats(gpu)


def has_gpu() -> bool:
    """Whether this process trains on a GPU."""
    return _first_gpu() is not None


def count_gpus() -> int:
    """How many GPUs this process may use."""
    return len(tf.config.list_logical_devices("GPU"))


def _first_gpu() -> str | None:
    found = tf.config.list_logical_devices("GPU")
    return found[0].name.removeprefix("/device:") if found else None
