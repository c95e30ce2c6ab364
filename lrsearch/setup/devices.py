"""Finds this machine's devices without TensorFlow.

Knows nothing of studies and starts nothing but `nvidia-smi`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from lrsearch.errors import DeviceProblem, InvalidValue
from lrsearch.machine import free_memory_mib, usable_cores

_QUERY = ("--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
_PROC = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU as CUDA sees it under this environment."""

    index: int  # among the visible ones, as TensorFlow counts them
    uuid: str  # what CUDA_VISIBLE_DEVICES takes
    name: str
    memory_mib: int | None  # None where it is not known (MIG slices, no nvidia-smi)


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The devices, cores and memory of a machine."""

    gpus: tuple[Gpu, ...]
    cores: int  # cores that this process may use
    memory_mib: int | None  # free now


def inspect_machine(environ: Mapping[str, str] | None = None) -> Machine:
    """Inspect the machine of this process, as far as `environ` (os.environ) shows its devices."""
    environ = os.environ if environ is None else environ
    return Machine(gpus=find_gpus(environ), cores=usable_cores(), memory_mib=free_memory_mib())


def find_gpus(environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Find the GPUs that CUDA would see: those in CUDA_VISIBLE_DEVICES.

    nvidia-smi lists them, else the driver's files do.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip():
        return ()  # before nvidia-smi is run for nothing
    return select_visible(_from_smi() or _from_driver(_PROC), visible)


def select_visible(found: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Select the GPUs that CUDA_VISIBLE_DEVICES names, and count them anew in its order.

    An entry is an index, or a UUID or its beginning. As CUDA does, stop at the first entry that
    names nothing. Entries of MIG slices are not checked.
    """
    if visible is None:
        return tuple(found)
    entries = (_find_gpu(found, entry.strip()) for entry in visible.split(","))
    chosen = takewhile(lambda gpu: gpu is not None, entries)
    return tuple(replace(gpu, index=index) for index, gpu in enumerate(chosen) if gpu)


def _find_gpu(found: Sequence[Gpu], entry: str) -> Gpu | None:
    if entry.startswith("MIG-"):
        return Gpu(index=0, uuid=entry, name="MIG slice", memory_mib=None)
    if entry.isdigit():
        return next((gpu for gpu in found if gpu.index == int(entry)), None)
    return next((gpu for gpu in found if entry and gpu.uuid.startswith(entry)), None)


def parse_smi(text: str) -> tuple[Gpu, ...]:
    """Read GPUs from nvidia-smi's CSV: `index, uuid, name, MiB`; other lines are error texts."""
    gpus: list[Gpu] = []
    for line in text.splitlines():
        match [cell.strip() for cell in line.split(",")]:
            case [index, uuid, name, memory] if index.isdigit():
                mib = int(memory) if memory.isdigit() else None
                gpus.append(Gpu(index=int(index), uuid=uuid, name=name, memory_mib=mib))
    return tuple(gpus)


def _from_smi() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program
            [program, *_QUERY], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):  # a hung driver must not hang the CPU's work
        return ()
    return parse_smi(answer.stdout) if answer.returncode == 0 else ()


def _from_driver(folder: Path) -> tuple[Gpu, ...]:
    """Read GPUs from the driver's own files, in order of their bus, as nvidia-smi counts them."""
    gpus: list[Gpu] = []
    for file in sorted(folder.glob("*/information")):
        text = file.read_text(encoding="utf-8", errors="replace")
        facts = dict(re.findall(r"^([^:]+):\s*(.+?)\s*$", text, re.MULTILINE))
        if uuid := facts.get("GPU UUID"):
            name = facts.get("Model", "GPU")
            gpus.append(Gpu(index=len(gpus), uuid=uuid, name=name, memory_mib=None))
    return tuple(gpus)


def choose_gpus(machine: Machine, devices: str | None) -> tuple[Gpu, ...]:
    """Choose the GPUs that `devices` names; none where it names the CPU."""
    if devices is None:
        return machine.gpus
    if devices == "cpu":
        return ()
    kind, _, indexes = devices.partition(":")
    parts = [part.strip().removeprefix("gpu:") for part in indexes.split(",")] if indexes else []
    if kind != "gpu" or (":" in devices and not parts) or not all(part.isdigit() for part in parts):
        raise InvalidValue("--devices", got=devices, allowed="cpu, gpu, or gpu:0,1 and the like")
    wanted = [int(part) for part in parts] or [gpu.index for gpu in machine.gpus]
    if len(set(wanted)) != len(wanted):
        fix = "Say --per-device to share one."
        raise InvalidValue("--devices", got=devices, allowed="each device once", fix=fix)
    there = {gpu.index: gpu for gpu in machine.gpus}
    missing = [index for index in wanted if index not in there]
    if missing or not wanted:
        what = ", ".join(f"gpu:{index}" for index in missing) or "GPU"
        gpus = [f"gpu:{gpu.index} ({gpu.name})" for gpu in machine.gpus]
        have = ", ".join([*gpus, f"cpu ({machine.cores} cores)"])
        fix = "Choose among these with --devices."
        raise DeviceProblem(f"no {what} on this machine. There is: {have}.", fix=fix)
    return tuple(there[index] for index in wanted)
