"""Checks a machine before a study: libraries, devices, database, memory, and a training of two
steps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lrsearch.errors import LrSearchError
from lrsearch.launch.child import environment
from lrsearch.launch.devices import Machine, this_machine
from lrsearch.launch.options import MachineOptions
from lrsearch.launch.parent import checkpoint_root
from lrsearch.launch.slots import CPU_WORKER_MIB, Slot, SlotPlan, plan_slots
from lrsearch.report.words import counted
from lrsearch.values import Json
from lrsearch.version import versions

PROBE_SECONDS = 300.0
_OLDEST = {"keras": (3, 13, 2), "tensorflow": (2, 18), "optuna": (5, 0)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One finding. `fix` is what to do where it is not well."""

    name: str
    well: bool
    text: str
    fix: str = ""

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def diagnose(
    *, storage: str | None, study_file: Path | None, devices: str | None
) -> Iterator[Check]:
    """Every check, one after another, cheap ones first. Raises nothing for what it finds."""
    yield _libraries()
    machine = this_machine()
    try:
        plan = plan_slots(machine, MachineOptions(devices=devices))
    except LrSearchError as error:
        yield Check(
            name="devices",
            well=False,
            text=str(error),
            fix="Choose with --devices cpu, or mend the driver.",
        )
        return
    yield Check(name="devices", well=True, text=_devices(machine, plan))
    yield from _database(storage)
    yield from _training(machine, plan.slots, study_file)


def _libraries() -> Check:
    found = versions()
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    old = [
        name
        for name, oldest in _OLDEST.items()
        if found.get(name, "unknown") != "unknown" and _numbers(found[name]) < oldest
    ]
    fix = f"Update {', '.join(old)}: pip install -U lrsearch" if old else ""
    return Check(name="libraries", well=not old, text=text, fix=fix)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _devices(machine: Machine, plan: SlotPlan) -> str:
    gpus = ", ".join(f"gpu:{each.index} {each.name}" for each in machine.gpus) or "no GPU"
    return f"{gpus}; {counted(machine.cores, 'CPU core')}; {plan} ({', '.join(each.name for each in plan.slots)})"


def _database(storage: str | None) -> Iterator[Check]:
    from lrsearch.storage import check_storage, mask, resolve_url

    try:
        url = resolve_url(storage, os.environ)
        check_storage(url)
    except LrSearchError as error:
        yield Check(
            name="database", well=False, text=str(error), fix="Mend it, or give another --storage."
        )
        return
    yield Check(name="database", well=True, text=f"{mask(url)} can be used")
    root = checkpoint_root(None, url)
    place = root if root.exists() else root.parent
    well = os.access(place, os.W_OK)
    fix = "" if well else "Give a folder that you may write with --checkpoints."
    yield Check(
        name="checkpoints",
        well=well,
        text=f"{root} {'can' if well else 'cannot'} be written",
        fix=fix,
    )


def _training(
    machine: Machine, slots: tuple[Slot, ...], study_file: Path | None
) -> Iterator[Check]:
    """In a process of its own, bound to the first slot: TensorFlow, its devices, two steps, and the
    study's data.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        "lrsearch.engine.probing",
        *([str(study_file)] if study_file else []),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            env=environment(slots[0], os.environ),
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        fix = "Look at the machine's load; run it again."
        yield Check(
            name="training",
            well=False,
            text=f"two steps took longer than {PROBE_SECONDS:g} s",
            fix=fix,
        )
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        fix = (
            "Mend the study file; lrsearch start-study shows its traceback."
            if study_file
            else "Reinstall TensorFlow and Keras."
        )
        yield Check(name="training", well=False, text=last, fix=fix)
        return
    found = json.loads(done.stdout.strip().splitlines()[-1])
    yield _seen_gpu(slots[0], found)
    yield Check(
        name="training",
        well=True,
        text=f"two steps in {found['seconds']:.1f} s, once TensorFlow is loaded",
    )
    yield _memory(machine, slots, found)


def _seen_gpu(slot: Slot, found: dict[str, Json]) -> Check:
    names = ", ".join(found["devices"])
    well = not slot.gpu or any("GPU" in each for each in found["devices"])
    fix = (
        ""
        if well
        else "TensorFlow sees no GPU: pip install 'lrsearch[gpu]', and check the driver's version."
    )
    return Check(name="tensorflow", well=well, text=f"sees {names}", fix=fix)


def _memory(machine: Machine, slots: tuple[Slot, ...], found: dict[str, Json]) -> Check:
    """Each worker holds the data set once, beside TensorFlow."""
    each = max(CPU_WORKER_MIB, found["peak_mib"])
    needed = round(each * len(slots))
    text = f"{needed} MiB for {counted(len(slots), 'worker')}"
    if machine.memory_mib is None:
        return Check(name="memory", well=True, text=f"{text}; what is free is not known here")
    well = needed <= machine.memory_mib
    fits = max(1, int(machine.memory_mib // each))
    text = f"{text} ({found['data_mib']:.0f} MiB of data in each), {machine.memory_mib} MiB free"
    return Check(
        name="memory", well=well, text=text, fix="" if well else f"Start fewer: --workers {fits}"
    )
