"""`python -m lrsearch.engine.probing [STUDY_FILE]`: what TensorFlow sees here, as a line of JSON.

It trains two steps as well, and measures them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrsearch.definition import load_study_file
from lrsearch.engine.data import Arrays
from lrsearch.engine.failure import first_line
from lrsearch.engine.inspection import inspect_study
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.machine import peak_bytes

_MIB = 1024 * 1024


def probe(study_file: str | None) -> dict[str, Any]:
    """Train two steps of a small model, or inspect the study, and measure."""
    began = time.monotonic()
    data = 0
    if study_file is None:
        layers = keras.layers
        model = keras.Sequential([layers.Input((8,)), layers.Dense(4), layers.Dense(1)])
        model.compile("adam", "mse")
        x, y = np.zeros((64, 8), "float32"), np.zeros((64, 1), "float32")
        model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    else:
        loaded = LoadedStudy(definition=load_study_file(study_file))
        inspect_study(loaded.definition, loaded=loaded)
        splits = loaded.first_data.splits.values()
        data = sum(split.nbytes for split in splits if isinstance(split, Arrays))
    devices = [each.name for each in tf.config.list_physical_devices()]
    return {
        "devices": [name.removeprefix("/physical_device:") for name in devices],
        "seconds": time.monotonic() - began,
        "data_mib": data / _MIB,
        "peak_mib": peak_bytes() / _MIB,
    }


def main() -> None:
    """Print the measurements; an error leaves one line."""
    try:
        measured = probe(sys.argv[1] if len(sys.argv) > 1 else None)
    except Exception as error:  # noqa: BLE001 - doctor shows whatever it is
        sys.exit(f"{type(error).__name__}: {first_line(error)}")
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()
