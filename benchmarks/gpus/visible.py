"""What CUDA itself counts under CUDA_VISIBLE_DEVICES, beside what lrsearch finds.

python visible.py       asks the driver in this process' environment
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys

from lrsearch.setup.devices import inspect_machine


def cuda_devices() -> list[str]:
    """The UUIDs of the GPUs that CUDA counts here, by its driver; empty where there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count, found = ctypes.c_int(), []
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return []
    for place in range(count.value):
        raw = (ctypes.c_ubyte * 16)()
        cuda.cuDeviceGetUuid(ctypes.byref(raw), place)
        hexes = bytes(raw).hex()
        parts = (hexes[:8], hexes[8:12], hexes[12:16], hexes[16:20], hexes[20:])
        found.append("GPU-" + "-".join(parts))
    return found


def visible_devices() -> dict[str, dict[str, object]]:
    """By value of CUDA_VISIBLE_DEVICES: what the driver counts, and what lrsearch does."""
    every = {
        name: value
        for name, value in os.environ.items()
        if name != "CUDA_VISIBLE_DEVICES"
    }
    uuids = [gpu.uuid for gpu in inspect_machine(every).gpus]
    uuid = uuids[0] if uuids else "GPU-00000000"
    values = [
        "0",
        "0,7",
        "7,0",
        "-1",
        "",
        "0,0",
        " 0",
        "0 ",
        "0,",
        "x",
        "NoDevFiles",
        uuid,
    ]
    values += [
        uuid[:9],
        uuid[:4],
        uuid.upper(),
        f"{uuid},0",
        uuid.removeprefix("GPU-"),
        "00",
        "+0",
    ]
    found = {"not set": _both(None)}
    for value in values:
        found[value] = _both(value)
    return found


def _both(value: str | None) -> dict[str, object]:
    own = {
        name: each
        for name, each in os.environ.items()
        if name != "CUDA_VISIBLE_DEVICES"
    }
    own |= {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    done = subprocess.run(
        [sys.executable, __file__], env=own, capture_output=True, text=True, check=False
    )
    said = json.loads(done.stdout or "null")
    try:
        ours: object = [gpu.uuid for gpu in inspect_machine(own).gpus]
    except Exception as error:  # noqa: BLE001 - shown as it is
        ours = f"{type(error).__name__}: {error}"
    return {
        "cuda": said,
        "agrees": said == ours,
        **({} if said == ours else {"lrsearch": ours}),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(cuda_devices()))
