"""A training state as bytes, and back: a zip of plain arrays (no pickle) and one JSON text."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping

import numpy as np

from lrsearch.values import Json, Snapshot

# The JSON member. Arrays are members a0, a1, ... so that a variable's name is never a
# file's name.
_META = "meta"
# NumPy's kind of bfloat16 and float8, which are written as bytes with their name
_FOREIGN = "V"


class CheckpointUnusable(Exception):
    """This checkpoint cannot be read, and the text says why; an older one may be readable."""


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Encode `snapshot` as the bytes of one uncompressed npz."""
    members: dict[str, np.ndarray] = {}
    names: list[dict[str, Json]] = []
    for index, (name, array) in enumerate(snapshot.arrays.items()):
        plain = np.asarray(array)
        described: dict[str, Json] = {"name": name}
        if plain.dtype.kind == _FOREIGN:
            described |= {"dtype": plain.dtype.name, "shape": list(plain.shape)}
            plain = np.frombuffer(np.ascontiguousarray(plain).tobytes(), np.uint8)
        members[f"a{index}"] = plain
        names.append(described)
    places = {"epoch": snapshot.epoch, "batch": snapshot.batch, "step": snapshot.step}
    meta = {**places, "arrays": names, "meta": dict(snapshot.meta)}
    members[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    buffer = io.BytesIO()
    # np.savez takes `allow_pickle` only from NumPy 2.1 on.
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, array in members.items():
            with archive.open(f"{member}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def decode_snapshot(data: bytes) -> Snapshot:
    """Decode the bytes of `encode_snapshot`. Raises CheckpointUnusable on any others."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as members:
            meta = json.loads(members[_META].tobytes())
            arrays = {
                each["name"]: _array(members[f"a{index}"], each)
                for index, each in enumerate(meta["arrays"])
            }
        # Version 0.1.0 wrote no batch.
        places = {
            "epoch": meta["epoch"],
            "batch": meta.get("batch", 0),
            "step": meta["step"],
        }
        return Snapshot(**places, arrays=arrays, meta=meta["meta"])
    except Exception as error:
        # of zipfile, json, numpy, a missing key: a foreign file causes any
        raise CheckpointUnusable(f"not a checkpoint: {error}") from error


def _array(stored: np.ndarray, described: Mapping[str, Json]) -> np.ndarray:
    if "dtype" not in described:
        return stored
    import ml_dtypes  # bfloat16 and float8 for NumPy

    dtype = getattr(ml_dtypes, described["dtype"])
    return np.frombuffer(stored.tobytes(), dtype).reshape(described["shape"])
