"""TensorFlow's own settings for a slot, before it does any work."""

from __future__ import annotations

import tensorflow as tf


def bind_threads(count: int) -> None:
    """Let TensorFlow use `count` threads; before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(max(1, min(count, 2)))


def bind_memory(mebibytes: int | None) -> None:
    """Set a hard limit on a shared GPU's memory.

    None for a GPU of one slot: the slot's environment lets its memory grow.
    """
    if mebibytes is None:
        return
    limit = tf.config.LogicalDeviceConfiguration(memory_limit=mebibytes)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.set_logical_device_configuration(gpu, [limit])
