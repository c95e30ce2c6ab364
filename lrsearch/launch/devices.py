"""Finds this machine's devices without TensorFlow, and divides them into slots.

A slot is a worker's share: a GPU, a part of one, or some CPU threads; it is bound by the worker's environment before TensorFlow
loads. Knows nothing of studies and starts nothing but `nvidia-smi`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrsearch.errors import DeviceProblem, InvalidValue
from lrsearch.machine import free_memory_mib, usable_cores

OVERHEAD_MIB = 614  # 0.6 GiB a process for CUDA's context and libraries, when several share a GPU
CPU_WORKER_MIB = 1024  # TensorFlow, a small data set and room: more workers than fit would be killed
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One worker's share. `env` is set, and names in `unset` removed, before its process starts."""

    name: str  # "gpu:0", "gpu:0/2", "cpu:1"
    threads: int
    memory_mib: int | None = None  # a hard limit on the GPU's memory
    env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()

    @property
    def gpu(self) -> bool:
        return self.name.startswith("gpu")


def this_machine(environ: Mapping[str, str] | None = None) -> Machine:
    """The machine that this process runs on, as far as `environ` (os.environ) lets it see."""
    environ = os.environ if environ is None else environ
    return Machine(gpus=find_gpus(environ), cores=usable_cores(), memory_mib=free_memory_mib())


def find_gpus(environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that CUDA would see: by nvidia-smi, else the driver's files, and only those in CUDA_VISIBLE_DEVICES."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip():
        return ()
    return select_visible(_from_smi() or _from_driver(_PROC), visible)


def select_visible(found: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Those of `found` that CUDA_VISIBLE_DEVICES names, by index or UUID (or its beginning), counted anew in its order.

    As CUDA does, it stops at the first entry that names nothing. MIG slices are taken at their word.
    """
    if visible is None:
        return tuple(found)
    chosen: list[Gpu] = []
    for entry in (each.strip() for each in visible.split(",")):
        gpu = _named(found, entry)
        if gpu is None:
            break
        chosen.append(Gpu(index=len(chosen), uuid=gpu.uuid, name=gpu.name, memory_mib=gpu.memory_mib))
    return tuple(chosen)


def _named(found: Sequence[Gpu], entry: str) -> Gpu | None:
    if entry.startswith("MIG-"):
        return Gpu(index=0, uuid=entry, name="MIG slice", memory_mib=None)
    if entry.isdigit():
        return next((gpu for gpu in found if gpu.index == int(entry)), None)
    return next((gpu for gpu in found if entry and gpu.uuid.startswith(entry)), None)


def parse_smi(text: str) -> tuple[Gpu, ...]:
    """GPUs from nvidia-smi's CSV: `index, uuid, name, MiB`; lines that are anything else (error texts) are left out."""
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return tuple(
        Gpu(index=int(row[0]), uuid=row[1], name=row[2], memory_mib=int(row[3]) if row[3].isdigit() else None)
        for row in rows
        if len(row) == 4 and row[0].isdigit()  # noqa: PLR2004
    )


def _from_smi() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):  # a hung driver must not hang the CPU's work
        return ()
    return parse_smi(answer.stdout) if answer.returncode == 0 else ()


def _from_driver(folder: Path) -> tuple[Gpu, ...]:
    """GPUs from the driver's own files, in order of their bus, as nvidia-smi counts them."""
    gpus: list[Gpu] = []
    for file in sorted(folder.glob("*/information")):
        facts = dict(re.findall(r"^([^:]+):\s*(.+?)\s*$", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE))
        if uuid := facts.get("GPU UUID"):
            gpus.append(Gpu(index=len(gpus), uuid=uuid, name=facts.get("Model", "GPU"), memory_mib=None))
    return tuple(gpus)


def plan_slots(
    machine: Machine,
    *,
    devices: str | None = None,
    workers: int | None = None,
    per_device: int | None = None,
    trials: int | None = None,
) -> tuple[Slot, ...]:
    """Divide `machine` into slots.

    `devices` is `cpu`, `gpu`, `gpu:0,1` or None (every GPU, else the CPU); `workers` caps the processes, `per_device` says how
    many share each GPU. On the CPU there is one worker a core, as far as memory goes, and never more than `trials`.
    Raises DeviceProblem where a device is not there, InvalidValue where the request makes no sense.
    """
    for name, value in (("--workers", workers), ("--per-device", per_device)):
        if value is not None and value < 1:
            raise InvalidValue(name, got=value, allowed="at least 1")
    gpus = chosen_gpus(machine, devices)
    if gpus:
        return _gpu_slots(machine, gpus, workers=workers, per_device=per_device)
    if per_device is not None:
        raise InvalidValue("--per-device", got=per_device, allowed="left out on a CPU", fix="Say --workers instead.")
    return _cpu_slots(machine, workers=workers, trials=trials)


def chosen_gpus(machine: Machine, devices: str | None) -> tuple[Gpu, ...]:
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
        raise InvalidValue("--devices", got=devices, allowed="each device once", fix="Say --per-device to share one.")
    there = {gpu.index: gpu for gpu in machine.gpus}
    missing = [index for index in wanted if index not in there]
    if missing or not wanted:
        what = ", ".join(f"gpu:{index}" for index in missing) or "GPU"
        have = ", ".join([*(f"gpu:{gpu.index} ({gpu.name})" for gpu in machine.gpus), f"cpu ({machine.cores} cores)"])
        raise DeviceProblem(f"no {what} on this machine. There is: {have}.", fix="Choose among these with --devices.")
    return tuple(there[index] for index in wanted)


def _gpu_slots(machine: Machine, gpus: Sequence[Gpu], *, workers: int | None, per_device: int | None) -> tuple[Slot, ...]:
    share = per_device or (-(-workers // len(gpus)) if workers else 1)  # more workers than GPUs must share
    places = [(gpu, part) for part in range(share) for gpu in gpus][: workers or None]  # spread before doubling up
    threads = max(1, machine.cores // len(places))
    sharing = {gpu.index: sum(each.index == gpu.index for each, _ in places) for gpu in gpus}
    return tuple(_gpu_slot(gpu, part, sharing[gpu.index], threads) for gpu, part in places)


def _gpu_slot(gpu: Gpu, part: int, sharing: int, threads: int) -> Slot:
    """Alone on a GPU memory may grow; sharing one it has a hard limit. TensorFlow refuses both at once."""
    env = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu.uuid, **_thread_env(threads)}
    if sharing == 1:
        return Slot(name=f"gpu:{gpu.index}", threads=threads, env=env | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"})
    if gpu.memory_mib is None:
        what = f"the memory of gpu:{gpu.index} ({gpu.name}) is not known"
        raise DeviceProblem(f"{what}, so it cannot be shared.", fix="Leave --per-device out.")
    limit = (gpu.memory_mib - sharing * OVERHEAD_MIB) // sharing
    if limit < OVERHEAD_MIB:
        raise DeviceProblem(
            f"gpu:{gpu.index} has {gpu.memory_mib} MiB: too little for {sharing} workers.", fix="Lower --per-device."
        )
    return Slot(name=f"gpu:{gpu.index}/{part}", threads=threads, memory_mib=limit, env=env, unset=("TF_FORCE_GPU_ALLOW_GROWTH",))


def _cpu_slots(machine: Machine, *, workers: int | None, trials: int | None) -> tuple[Slot, ...]:
    fitting = machine.cores if machine.memory_mib is None else max(1, machine.memory_mib // CPU_WORKER_MIB)
    count = workers or min(machine.cores, fitting)
    if trials is not None:
        count = max(1, min(count, trials))
    threads = max(1, machine.cores // count)
    env = {"CUDA_VISIBLE_DEVICES": "-1", **_thread_env(threads)}
    names = ["cpu"] if count == 1 else [f"cpu:{index}" for index in range(count)]
    return tuple(Slot(name=name, threads=threads, env=env) for name in names)


def _thread_env(threads: int) -> dict[str, str]:
    """Limits for NumPy's own libraries, which the user's data code may call; TensorFlow is told by the worker."""
    return {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
