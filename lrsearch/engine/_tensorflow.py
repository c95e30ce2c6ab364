"""Everything private of TensorFlow that the engines need.

Read in TensorFlow 2.21; the oldest version that is tested is 2.18.
"""

from __future__ import annotations

import math
from functools import cache

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.eager import context
from tensorflow.python.framework import ops
from tensorflow.python.ops.parallel_for import pfor

from lrsearch.engine.types import Dataset, DatasetIterator, Structure, Variable

# Random numbers under a key of each row's own: one call per row. TensorFlow would do
# the same by itself, with a warning for each.
_ROW_BY_ROW = (
    "StatelessRandomGetKeyCounter",
    "StatelessRandomUniformV2",
    "StatelessRandomUniformIntV2",
    "StatelessRandomUniformFullIntV2",
    "StatelessRandomNormalV2",
    "StatelessTruncatedNormalV2",
)


@cache
def teach_vectorized_map() -> None:
    """Teach `tf.vectorized_map` the operations that it lacks.

    Keras' accuracies need one, Bitcast: argmax looks at the sign's bit. Without that
    operation every step would loop over the rows one by one.
    """
    known = pfor._pfor_converter_registry
    for name, rule in {
        "Bitcast": _bitcast,
        **dict.fromkeys(_ROW_BY_ROW, _row_by_row),
    }.items():
        if name not in known:
            pfor.RegisterPFor(name)(rule)


def _bitcast(inputs: pfor._PforInput) -> Structure:
    return pfor.wrap(tf.bitcast(inputs.stacked_input(0), inputs.get_attr("type")), True)  # noqa: FBT003


def _row_by_row(inputs: pfor._PforInput) -> Structure:
    return pfor._fallback_converter(inputs)


def save_iterator(iterator: DatasetIterator) -> bytes:
    """The whole state of an iterator of tf.data, its shuffle buffers included.

    Raises tf.errors.FailedPreconditionError where a part cannot be written: Python's
    generators, random numbers.
    """
    fail = 2  # tf.data's policy for state that cannot be written
    written = tf.raw_ops.SerializeIterator(
        resource_handle=iterator._iterator_resource, external_state_policy=fail
    )
    return bytes(tf.io.serialize_tensor(written).numpy())


def restore_iterator(iterator: DatasetIterator, state: bytes) -> None:
    """Let a fresh iterator of the same dataset go on from `state`."""
    serialized = tf.io.parse_tensor(state, tf.variant)
    resource = iterator._iterator_resource
    tf.raw_ops.DeserializeIterator(resource_handle=resource, serialized=serialized)


_STRING_BYTES = 256  # of a string, whose length nobody knows before: a path, a sentence
_OPEN_DIMENSION = 1024  # of a dimension that nobody knows before
_AHEAD = 16  # elements read ahead where tf.data chooses how many


def buffered_bytes(dataset: Dataset) -> float:
    """About how many bytes a dataset's buffers for shuffling and caching take, by its parts."""
    parts: dict[int, Dataset] = {}
    queue = [dataset]
    while queue:
        each = queue.pop()
        if id(each) not in parts:
            parts[id(each)] = each
            queue += each._inputs()
    return float(
        sum(
            _count_buffered(each) * _element_bytes(each.element_spec)
            for each in parts.values()
        )
    )


def _count_buffered(part: Dataset) -> float:
    """How many elements one part of a dataset keeps."""
    count = int(part.cardinality())
    if "Cache" in type(part).__name__:
        return count if count >= 0 else math.inf
    asked = getattr(part, "_buffer_size", None)
    if asked is None:
        return 0
    size = int(asked)
    return min(size if size >= 0 else _AHEAD, count if count >= 0 else size)


def _element_bytes(spec: Structure) -> int:
    total = 0
    for each in tf.nest.flatten(spec, expand_composites=True):
        shape = [None] if each.shape.rank is None else each.shape
        count = math.prod(_OPEN_DIMENSION if size is None else size for size in shape)
        total += count * (_STRING_BYTES if each.dtype == tf.string else each.dtype.size)
    return total


def things_created() -> int:
    """A number that every tensor variable made from now on exceeds."""
    return int(ops.uid())


def created_at(variable: Variable) -> int:
    """The number under which a Keras variable was created: later variables have higher ones."""
    return int(str(variable.value._unique_id).rsplit("_", 1)[-1])


def memory_limit(device: str) -> float:
    """The bytes that TensorFlow's allocator may take on a device ("GPU:0"); infinity if unknown."""
    devices = pywrap_tfe.TFE_ContextListDevices(context.context()._handle)
    for place in range(pywrap_tfe.TF_DeviceListCount(devices)):
        if pywrap_tfe.TF_DeviceListName(devices, place).endswith(device):
            return float(pywrap_tf_session.TF_DeviceListMemoryBytes(devices, place))
    return math.inf
