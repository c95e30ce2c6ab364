"""One array of the user's, as Keras' own adapter would take it.

What cannot be trained on is refused. Floats become floatx, a pandas series a column, and texts
(strings or bytes, in an array or a tensor) an object array of bytes. Integers and booleans stay as
they are. Knows nothing of splits.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import tensorflow as tf

from lrsearch.engine._keras_data import adapt_array
from lrsearch.errors import InvalidValue
from lrsearch.values import Json

# of each array, for the digest: all of a small one, enough of a large one to notice another
_SAMPLED_ROWS = 4096
_ALLOWED = "an array of numbers or strings"


def read_array(label: str, value: Any) -> np.ndarray:
    """The array that trials train on. Raises InvalidValue, whose text begins with `label`."""
    _check_dense(label, value)
    plain = np.asarray(value)
    if plain.dtype.kind in "USO":
        return _texts(label, plain)
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is found by `not_finite`
            return np.asarray(adapt_array(value if hasattr(value, "__array__") else plain))
    except ValueError:
        raise InvalidValue(label, got=f"an array of {plain.dtype}", allowed=_ALLOWED) from None


def not_finite(array: np.ndarray) -> np.ndarray:
    """The places of the rows that hold NaN or infinity, int64 (rows,)."""
    if not np.issubdtype(array.dtype, np.floating):
        return np.zeros(0, np.int64)
    finite = np.isfinite(array)
    if not array.ndim or finite.all():
        return np.zeros(0, np.int64)
    return np.flatnonzero(~finite.reshape(len(array), -1).all(axis=1))


def digest_of(value: Any) -> Json:
    """Shape, type and checksum of some rows of an array as it was given, before any cast."""
    array = np.asarray(value)
    step = max(1, math.ceil(len(array) / _SAMPLED_ROWS))
    rows = array[::step]
    if array.dtype.kind in "biufc":
        content = np.ascontiguousarray(rows).tobytes()
    else:
        content = b"\0".join(_bytes_of(each) for each in rows.ravel())
    return [list(array.shape), str(array.dtype), hashlib.sha256(content).hexdigest()[:16]]


def _texts(label: str, array: np.ndarray) -> np.ndarray:
    """Texts as an object array of bytes, which TensorFlow takes in any number of dimensions."""
    flat = array.ravel()
    if not all(isinstance(each, str | bytes) for each in flat):
        fix = "Convert it in load_data: .astype('float32'), or .astype(str)."
        raise InvalidValue(label, got="an array of Python objects", allowed=_ALLOWED, fix=fix)
    found = np.empty(len(flat), object)
    found[:] = [_bytes_of(each) for each in flat]
    return found.reshape(array.shape)


def _bytes_of(text: Any) -> bytes:
    return bytes(text) if isinstance(text, bytes) else str(text).encode()


def _check_dense(label: str, value: Any) -> None:
    """Refuse sparse and ragged data: NumPy would make one object of a whole matrix."""
    kinds = {
        "a sparse matrix": (type(value).__module__.startswith("scipy.sparse"), ".toarray()"),
        "a sparse tensor": (isinstance(value, tf.SparseTensor), "tf.sparse.to_dense(...)"),
        "a ragged tensor": (isinstance(value, tf.RaggedTensor), ".to_tensor()"),
    }
    for kind, (found, way) in kinds.items():
        if found:
            fix = (
                f"Make it dense in load_data with {way}, or return a tf.data.Dataset of dense "
                "batches."
            )
            got = f"{kind} ({type(value).__name__})"
            raise InvalidValue(label, got=got, allowed="a dense array", fix=fix)
