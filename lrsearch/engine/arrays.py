"""Reads one array of the user's, as Keras' own adapter would.

Floats become floatx, a pandas series a column, and texts (strings or bytes, in an array
or a tensor) an object array of bytes. Integers and booleans stay as they are. Other
data is refused. Knows nothing of splits.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
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
        # pandas has types of its own, whose values NumPy takes for plain numbers
        got = f"an array of {getattr(value, 'dtype', plain.dtype)}"
        fix = (
            "Convert it in load_data to a number, such as the days since a date."
            if plain.dtype.kind in "mM"
            else "Convert it in load_data: .astype('float32')."
        )
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
    others = [each for each in flat if not isinstance(each, str | bytes)]
    if others:
        got, fix = _describe_objects(array, others)
        raise InvalidValue(label, got=got, allowed=_ALLOWED, fix=fix)
    texts = np.empty(len(flat), object)
    texts[:] = [_bytes_of(each) for each in flat]
    return texts.reshape(array.shape)


def _describe_objects(array: np.ndarray, others: Sequence[Any]) -> tuple[str, str]:
    """Say what an array of objects is, and what to do; `others` are those that are no text."""
    texts = len(others) < array.size
    if texts and array.ndim > 1:
        fix = "Give each column by itself in load_data: dict(table) for x, and an Input for each."
        return "a table of strings and other values", fix
    if texts and all(map(_is_missing, others)):
        got = f"strings, {len(others)} of {array.size} missing"
        return got, "Give the missing ones a text in load_data: .fillna('missing')."
    fix = "Convert it in load_data: .astype('float32'), or .astype(str)."
    return "an array of Python objects", fix


def _is_missing(value: Any) -> bool:
    """Whether a value stands for none, as None, NaN and pandas' NA do."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ == "NAType"


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
