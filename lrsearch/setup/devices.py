"""Finds this machine's devices without TensorFlow.

Knows nothing of studies and starts nothing but `nvidia-smi`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """What there is to divide."""

    gpus: tuple[Gpu, ...]
    cores: int  # that this process may use
    memory_mib: int | None  # free now


def inspect_machine(environ: Mapping[str, str] | None = None) -> Machine:
    """The machine that this process runs on, as far as `environ` (os.environ) lets it see."""
    environ = os.environ if environ is None else environ
    return Machine(gpus=find_gpus(environ), cores=usable_cores(), memory_mib=free_memory_mib())


def find_gpus(environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that CUDA would see: by nvidia-smi, else the driver's files, and only those in
    CUDA_VISIBLE_DEVICES.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip():
        return ()
    return select_visible(_from_smi() or _from_driver(_PROC), visible)


def select_visible(found: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Those of `found` that CUDA_VISIBLE_DEVICES names, by index or UUID (or its beginning),
    counted anew in its order.

    As CUDA does, it stops at the first entry that names nothing. MIG slices are taken at their
    word.
    """
    if visible is None:
        return tuple(found)
    chosen: list[Gpu] = []
    for entry in (each.strip() for each in visible.split(",")):
        gpu = _named(found, entry)
        if gpu is None:
            break
        chosen.append(
            Gpu(index=len(chosen), uuid=gpu.uuid, name=gpu.name, memory_mib=gpu.memory_mib)
        )
    return tuple(chosen)


def _named(found: Sequence[Gpu], entry: str) -> Gpu | None:
    if entry.startswith("MIG-"):
        return Gpu(index=0, uuid=entry, name="MIG slice", memory_mib=None)
    if entry.isdigit():
        return next((gpu for gpu in found if gpu.index == int(entry)), None)
    return next((gpu for gpu in found if entry and gpu.uuid.startswith(entry)), None)


def parse_smi(text: str) -> tuple[Gpu, ...]:
    """GPUs from nvidia-smi's CSV: `index, uuid, name, MiB`; lines that are anything else (error
    texts) are left out.
    """
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return tuple(
        Gpu(
            index=int(row[0]),
            uuid=row[1],
            name=row[2],
            memory_mib=int(row[3]) if row[3].isdigit() else None,
        )
        for row in rows
        if len(row) == 4 and row[0].isdigit()  # noqa: PLR2004
    )


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
    """GPUs from the driver's own files, in order of their bus, as nvidia-smi counts them."""
    gpus: list[Gpu] = []
    for file in sorted(folder.glob("*/information")):
        facts = dict(
            re.findall(
                r"^([^:]+):\s*(.+?)\s*$",
                file.read_text(encoding="utf-8", errors="replace"),
                re.MULTILINE,
            )
        )
        if uuid := facts.get("GPU UUID"):
            gpus.append(
                Gpu(index=len(gpus), uuid=uuid, name=facts.get("Model", "GPU"), memory_mib=None)
            )
    return tuple(gpus)


def choose_gpus(machine: Machine, devices: str | None) -> tuple[Gpu, ...]:
    """The GPUs that `devices` asks for; none where the CPU is meant."""
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
        raise InvalidValue(
            "--devices",
            got=devices,
            allowed="each device once",
            fix="Say --per-device to share one.",
        )
    there = {gpu.index: gpu for gpu in machine.gpus}
    missing = [index for index in wanted if index not in there]
    if missing or not wanted:
        what = ", ".join(f"gpu:{index}" for index in missing) or "GPU"
        have = ", ".join(
            [
                *(f"gpu:{gpu.index} ({gpu.name})" for gpu in machine.gpus),
                f"cpu ({machine.cores} cores)",
            ]
        )
        raise DeviceProblem(
            f"no {what} on this machine. There is: {have}.",
            fix="Choose among these with --devices.",
        )
    return tuple(there[index] for index in wanted)
