"""TensorFlow's own settings for a slot, before it does any work."""

from __future__ import annotations

import tensorflow as tf


def bind_threads(count: int) -> None:
    """Let TensorFlow use so many threads. Must come before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(max(1, min(count, 2)))


def bind_memory(mebibytes: int | None) -> None:
    """Set a hard limit on the visible GPU's memory where it is shared; alone, the slot's
    environment lets it grow.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        if mebibytes is not None:
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=mebibytes)
            tf.config.set_logical_device_configuration(gpu, [limit])
