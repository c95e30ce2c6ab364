"""Reads one array of the user's, as Keras' own adapter would.

Floats become floatx, a pandas series a column, and texts (strings or bytes, in an array
or a tensor) an object array of bytes. Integers and booleans stay as they are. Other
data is refused. Knows nothing of splits.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import tensorflow as tf

from lrsearch.engine._keras_data import adapt_array
from lrsearch.errors import InvalidValue
from lrsearch.values import Json

# Rows of each array in its checksum: all of a small one, enough of a large one to
# notice another.
_SAMPLED_ROWS = 4096
_ALLOWED = "an array of numbers or strings"


def read_array(label: str, value: Any) -> np.ndarray:
    """Return the array that trials train on. Raises InvalidValue that names `label`."""
    _check_dense(label, value)
    plain = np.asarray(value)
    if plain.dtype.kind in "USO":
        return _read_texts(label, plain)
    try:
        with np.errstate(over="ignore"):  # `find_gaps` finds what becomes infinite
            return np.asarray(
                adapt_array(value if hasattr(value, "__array__") else plain)
            )
    except ValueError:
        got = f"an array of {plain.dtype}"
        fix = "Convert it in load_data: .astype('float32')."
        raise InvalidValue(label, got=got, allowed=_ALLOWED, fix=fix) from None


def find_gaps(array: np.ndarray) -> np.ndarray:
    """Return the places of the rows that hold NaN or infinity: (rows,), int64."""
    if not array.ndim or not np.issubdtype(array.dtype, np.floating):
        return np.zeros(0, np.int64)
    return np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))


def array_to_json(value: Any) -> Json:
    """Describe an array as it was given: its shape, its type, and a checksum of some rows."""
    array = np.asarray(value)
    step = max(1, math.ceil(len(array) / _SAMPLED_ROWS))
    rows = array[::step]
    if array.dtype.kind in "biufc":
        content = np.ascontiguousarray(rows).tobytes()
    else:
        content = b"\0".join(_bytes_of(each) for each in rows.ravel())
    return [
        list(array.shape),
        str(array.dtype),
        hashlib.sha256(content).hexdigest()[:16],
    ]


def digest(parts: Json) -> str:
    """Hash JSON to 16 characters."""
    return hashlib.sha256(
        json.dumps(parts, sort_keys=True, default=str).encode()
    ).hexdigest()[:16]


def _read_texts(label: str, array: np.ndarray) -> np.ndarray:
    """Make an object array of bytes, which TensorFlow takes in any number of dimensions."""
    flat = array.ravel()
    if not all(isinstance(each, str | bytes) for each in flat):
        fix = "Convert it in load_data: .astype('float32'), or .astype(str)."
        raise InvalidValue(
            label, got="an array of Python objects", allowed=_ALLOWED, fix=fix
        )
    texts = np.empty(len(flat), object)
    texts[:] = [_bytes_of(each) for each in flat]
    return texts.reshape(array.shape)


def _bytes_of(text: Any) -> bytes:
    return bytes(text) if isinstance(text, bytes) else str(text).encode()


def _check_dense(label: str, value: Any) -> None:
    """Refuse sparse and ragged data: NumPy would make one object of a whole matrix."""
    if type(value).__module__.startswith("scipy.sparse"):
        kind, way = "a sparse matrix", ".toarray()"
    elif isinstance(value, tf.SparseTensor):
        kind, way = "a sparse tensor", "tf.sparse.to_dense(...)"
    elif isinstance(value, tf.RaggedTensor):
        kind, way = "a ragged tensor", ".to_tensor()"
    else:
        return
    fix = f"Make it dense in load_data with {way}, or return a tf.data.Dataset of dense batches."
    got = f"{kind} ({type(value).__name__})"
    raise InvalidValue(label, got=got, allowed="a dense array", fix=fix)
