"""Finds this machine's devices without TensorFlow.

Knows nothing of studies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from lrsearch.errors import DeviceProblem, InvalidValue
from lrsearch.machine import free_memory_mib, usable_cores
from lrsearch.setup.nvidia import CUT, Gpu, list_gpus


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The devices, cores and memory of a machine."""

    gpus: tuple[Gpu, ...]
    cores: int  # cores that this process may use
    memory_mib: int | None  # free now
    # why nobody can say which GPUs CUDA would take; `gpus` is empty then
    doubt: str = ""


def inspect_machine(environ: Mapping[str, str] | None = None) -> Machine:
    """Inspect this process' machine and the devices that `environ` (os.environ) shows."""
    environ = os.environ if environ is None else environ
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    found = () if visible is not None and not visible.strip() else list_gpus()
    doubt = doubt_order(found, visible, environ.get("CUDA_DEVICE_ORDER", ""))
    gpus = () if doubt else select_visible(found, visible)
    return Machine(
        gpus=gpus, cores=usable_cores(), memory_mib=free_memory_mib(), doubt=doubt
    )


def doubt_order(found: Sequence[Gpu], visible: str | None, order: str) -> str:
    """Say why a number in CUDA_VISIBLE_DEVICES does not say which card; empty where it does.

    By default CUDA counts the fastest card first, and nvidia-smi by the bus. Where the
    cards differ, a number means one card to CUDA and may mean another to us.
    """
    cards = {gpu.name.partition(CUT)[0] for gpu in found}
    if visible is None or order == "PCI_BUS_ID" or len(cards) <= 1:
        return ""
    numbers = {
        int(each) for each in map(str.strip, visible.split(",")) if _is_index(each)
    }
    if not numbers or numbers >= {gpu.index for gpu in found}:
        return ""
    return (
        f"CUDA_VISIBLE_DEVICES={visible} does not say which cards: this machine's differ, and CUDA "
        "counts the fastest first"
    )


def select_visible(found: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Select the GPUs that CUDA_VISIBLE_DEVICES names, and count them anew in its order.

    An entry is an index, or a UUID or its beginning. As CUDA does, stop at the first
    entry that names nothing or is not of the first one's kind, and see no GPU at all
    where one is named twice (tried with a driver of version 580). A card that is cut
    into MIG slices stands for its first slice, which is not tried on such a card.
    Entries of slices that nobody listed are not checked.
    """
    if visible is None:
        return tuple(replace(gpu, index=index) for index, gpu in enumerate(found))
    entries = [entry.strip() for entry in visible.split(",")]
    same_kind = takewhile(
        lambda each: _is_index(each) == _is_index(entries[0]), entries
    )
    named = (_find_gpu(found, entry) for entry in same_kind)
    chosen = [gpu for gpu in takewhile(lambda gpu: gpu is not None, named) if gpu]
    if len({gpu.uuid for gpu in chosen}) < len(chosen):
        return ()
    return tuple(replace(gpu, index=index) for index, gpu in enumerate(chosen))


def _is_index(entry: str) -> bool:
    return re.fullmatch(r"[+]?[0-9]+", entry) is not None


def _find_gpu(found: Sequence[Gpu], entry: str) -> Gpu | None:
    if _is_index(entry):
        return next((gpu for gpu in found if gpu.index == int(entry)), None)
    if not re.fullmatch(r"(GPU|MIG)-.+", entry, re.IGNORECASE):
        return None
    named = [
        gpu for gpu in found if _begins(gpu.uuid, entry) or _begins(gpu.card, entry)
    ]
    if not named and entry.startswith("MIG-"):
        return Gpu(index=0, uuid=entry, name="MIG slice", memory_mib=None)
    cards = {gpu.card or gpu.uuid for gpu in named}
    slices = {gpu.uuid for gpu in named if _begins(gpu.uuid, entry)}
    return named[0] if len(cards) == 1 and len(slices) <= 1 else None


def _begins(uuid: str, entry: str) -> bool:
    return uuid.lower().startswith(entry.lower())


def _check_order(machine: Machine) -> None:
    if machine.doubt:
        fix = "Name the cards by UUID (nvidia-smi -L), or set CUDA_DEVICE_ORDER=PCI_BUS_ID too."
        raise DeviceProblem(f"{machine.doubt}.", fix=fix)


def choose_gpus(machine: Machine, devices: str | None) -> tuple[Gpu, ...]:
    """Choose the GPUs that `devices` names; none where it names the CPU."""
    if devices is None:
        _check_order(machine)
        return machine.gpus
    if devices == "cpu":
        return ()
    _check_order(machine)
    kind, _, indexes = devices.partition(":")
    parts = (
        [part.strip().removeprefix("gpu:") for part in indexes.split(",")]
        if indexes
        else []
    )
    if (
        kind != "gpu"
        or (":" in devices and not parts)
        or not all(part.isdigit() for part in parts)
    ):
        raise InvalidValue(
            "--devices", got=devices, allowed="cpu, gpu, or gpu:0,1 and the like"
        )
    wanted = [int(part) for part in parts] or [gpu.index for gpu in machine.gpus]
    if len(set(wanted)) != len(wanted):
        fix = "Give --per-device to share one."
        raise InvalidValue(
            "--devices", got=devices, allowed="each device once", fix=fix
        )
    there = {gpu.index: gpu for gpu in machine.gpus}
    missing = [index for index in wanted if index not in there]
    if missing or not wanted:
        what = ", ".join(f"gpu:{index}" for index in missing) or "GPU"
        gpus = [f"gpu:{gpu.index} ({gpu.name})" for gpu in machine.gpus]
        have = ", ".join([*gpus, f"cpu ({machine.cores} cores)"])
        fix = "Choose among these with --devices."
        raise DeviceProblem(f"no {what} on this machine. There is: {have}.", fix=fix)
    return tuple(there[index] for index in wanted)
