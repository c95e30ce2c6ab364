"""Lists this machine's NVIDIA GPUs, by `nvidia-smi` or by the driver's files.

Starts nothing but `nvidia-smi`, and knows nothing of CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_FIELDS = "index,uuid,name,memory.total"
_FORMAT = "--format=csv,noheader,nounits"
CUT = " MIG "  # between a card's name and its slice's profile
_PROC = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU, or a MIG slice of one, as CUDA sees it under this environment."""

    # Among the visible ones, as TensorFlow counts them; before that, nvidia-smi's
    # number.
    index: int
    uuid: str  # what CUDA_VISIBLE_DEVICES takes
    name: str
    memory_mib: int | None  # None where it is not known
    card: str = ""  # the UUID of the card that a slice is of


def list_gpus() -> tuple[Gpu, ...]:
    """List this machine's GPUs, by nvidia-smi, else by the driver's files."""
    return _from_smi() or _from_driver(_PROC)


def parse_smi(text: str) -> tuple[Gpu, ...]:
    """Read GPUs from nvidia-smi's CSV: `index, uuid, name, MiB`, perhaps with the MIG mode.

    Other lines are error texts.
    """
    gpus: list[Gpu] = []
    for line in text.splitlines():
        match [cell.strip() for cell in line.split(",")]:
            case [index, uuid, name, memory, *_] if index.isdigit():
                mib = int(memory) if memory.isdigit() else None
                gpus.append(Gpu(index=int(index), uuid=uuid, name=name, memory_mib=mib))
    return tuple(gpus)


_CARD = re.compile(r"GPU \d+: (?P<name>.+) \(UUID: (?P<uuid>GPU-[^)]+)\)")
_SLICE = re.compile(r"MIG (?P<profile>\S+) +Device +\d+: \(UUID: (?P<uuid>MIG-[^)]+)\)")


def cut_slices(gpus: Sequence[Gpu], listed: str) -> tuple[Gpu, ...]:
    """Put MIG slices in the place of the cards that are cut into them.

    listed: what `nvidia-smi -L` says.
    """
    slices: dict[str, list[Gpu]] = {}
    card = ""
    for line in listed.splitlines():
        if match := _CARD.match(line.strip()):
            card = match["uuid"]
        elif match := _SLICE.match(line.strip()):
            of = next((gpu for gpu in gpus if gpu.uuid == card), None)
            if of is not None:
                name = f"{of.name}{CUT}{match['profile']}"
                memory = _slice_mib(match["profile"])
                made = replace(
                    of, uuid=match["uuid"], name=name, memory_mib=memory, card=card
                )
                slices.setdefault(card, []).append(made)
    return tuple(each for gpu in gpus for each in slices.get(gpu.uuid, [gpu]))


def _slice_mib(profile: str) -> int | None:
    """A slice's memory by its profile (`3g.20gb`), in decimal gigabytes, a little less than it has.

    None for a part of a slice (`1c.3g.20gb`), which shares the memory with its
    neighbours.
    """
    match = re.fullmatch(r"\d+g\.(\d+)gb\S*", profile)
    return int(match[1]) * 10**9 // 2**20 if match else None


def _from_smi() -> tuple[Gpu, ...]:
    # Drivers before 450 know no MIG.
    for fields in (f"{_FIELDS},mig.mode.current", _FIELDS):
        answer = _ask_smi(f"--query-gpu={fields}", _FORMAT)
        if answer is not None:
            break
    if not answer:
        return ()
    cut = {uuid for uuid, mode in _modes(answer) if mode == "Enabled"}
    gpus = parse_smi(answer)
    if not cut:
        return gpus
    sliced = cut_slices(gpus, _ask_smi("-L") or "")
    # a card without slices is no device
    return tuple(gpu for gpu in sliced if gpu.uuid not in cut)


def _modes(text: str) -> Iterator[tuple[str, str]]:
    """The UUID and the MIG mode of each card."""
    for line in text.splitlines():
        match [cell.strip() for cell in line.split(",")]:
            case [_, uuid, _, _, mode]:
                yield uuid, mode


def _ask_smi(*arguments: str) -> str | None:
    """What nvidia-smi says; None where it fails or is not there."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        # a hung driver must not hang the CPU's work
        return None
    return answer.stdout if answer.returncode == 0 else None


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
