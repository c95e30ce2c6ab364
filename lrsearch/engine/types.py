"""Names for what Keras and TensorFlow ship without types.

Each is `Any` for mypy; the name tells a reader what is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Model: TypeAlias = Any  # keras.Model, compiled
Optimizer: TypeAlias = Any  # keras.optimizers.Optimizer
Callback: TypeAlias = Any  # keras.callbacks.Callback
CallbackList: TypeAlias = Any  # keras.callbacks.CallbackList
Variable: TypeAlias = Any  # keras.Variable
Metric: TypeAlias = Any  # keras.metrics.Metric
Tensor: TypeAlias = Any  # tf.Tensor, or what TensorFlow makes one of
Dataset: TypeAlias = Any  # tf.data.Dataset, or keras.utils.PyDataset
DatasetIterator: TypeAlias = Any  # what `iter` makes of a tf.data.Dataset
Function: TypeAlias = Any  # tf.function, or a function that graphs are traced from
Batch: TypeAlias = Any  # (x,), (x, y) or (x, y, weight): structures of tensors
# nested tuples, lists and dicts of arrays, tensors or their types
Structure: TypeAlias = Any
Logs: TypeAlias = Mapping[str, Any] | None  # what Keras hands to a callback's methods
Strategy: TypeAlias = Any  # tf.distribute.Strategy, or None where there is none
