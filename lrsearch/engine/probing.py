"""`python -m lrsearch.engine.probing [STUDY_FILE]`: what TensorFlow sees here, as a line of JSON.

It trains two steps as well, and measures them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from lrsearch.machine import peak_bytes

_MIB = 1024 * 1024


def probe(study_file: str | None) -> dict[str, Any]:
    """Load TensorFlow, train two steps of a small model or one of the study's, and measure."""
    began = time.monotonic()
    import keras
    import numpy as np
    import tensorflow as tf

    data = 0
    if study_file is None:
        layers = keras.layers
        model = keras.Sequential([layers.Input((8,)), layers.Dense(4), layers.Dense(1)])
        model.compile("adam", "mse")
        x, y = np.zeros((64, 8), "float32"), np.zeros((64, 1), "float32")
        model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    else:
        data = _study(study_file)
    devices = [each.name for each in tf.config.list_physical_devices()]
    return {
        "devices": [name.removeprefix("/physical_device:") for name in devices],
        "seconds": time.monotonic() - began,
        "data_mib": data / _MIB,
        "peak_mib": peak_bytes() / _MIB,
    }


def _study(study_file: str) -> int:
    """Inspect the study, one real step included; the bytes of its arrays."""
    from lrsearch.definition import load_study_file
    from lrsearch.engine.data import Arrays
    from lrsearch.engine.inspecting import inspect_study, open_study

    definition = load_study_file(study_file)
    inspect_study(definition)
    data = open_study(definition).data(definition.effective_space().batch_sizes[0])
    splits = [each for each in (data.train, data.validation, data.test) if isinstance(each, Arrays)]
    return sum(array.nbytes for split in splits for array in split.arrays)


def main() -> None:
    """Print the findings; an error leaves one line."""
    try:
        found = probe(sys.argv[1] if len(sys.argv) > 1 else None)
    except Exception as error:  # noqa: BLE001 - whatever it is, doctor shows it
        sys.exit(
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        )
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
