"""Checks a machine before a study: libraries, devices, database, memory, and two training steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lrsearch.answer.words import count_text
from lrsearch.errors import LrSearchError
from lrsearch.options import MachineOptions
from lrsearch.setup.checkpoint_folder import checkpoint_root
from lrsearch.setup.devices import Machine, inspect_machine
from lrsearch.setup.slots import CPU_WORKER_MIB, Slot, SlotPlan, environment, plan_slots
from lrsearch.values import Json
from lrsearch.version import versions

PROBE_SECONDS = 300.0
_OLDEST = {"keras": (3, 13, 2), "tensorflow": (2, 18), "optuna": (5, 0)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One finding."""

    name: str
    text: str
    fix: str = ""  # the next step; empty where all is well

    @property
    def well(self) -> bool:
        return not self.fix

    def to_json(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "well": self.well,
            "text": self.text,
            "fix": self.fix,
        }


def diagnose(options: MachineOptions, study_file: Path | None) -> Iterator[Check]:
    """Run every check, cheap ones first; raise nothing for a bad finding."""
    yield _check_libraries()
    machine = inspect_machine()
    try:
        plan = plan_slots(machine, options)
    except LrSearchError as error:
        fix = "Choose with --devices cpu, or mend the driver."
        yield Check(name="devices", text=str(error), fix=fix)
        return
    yield Check(name="devices", text=_describe_devices(machine, plan))
    yield from _check_database(options)
    yield from _check_training(machine, plan.slots, study_file)


def _check_libraries() -> Check:
    installed = versions()
    text = ", ".join(f"{name} {version}" for name, version in installed.items())
    numbers = {name: _split_version(installed.get(name, "")) for name in _OLDEST}
    old = [name for name, oldest in _OLDEST.items() if () < numbers[name] < oldest]
    fix = f"Update {', '.join(old)}: pip install -U lrsearch" if old else ""
    return Check(name="libraries", text=text, fix=fix)


def _split_version(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _describe_devices(machine: Machine, plan: SlotPlan) -> str:
    gpus = (
        ", ".join(f"gpu:{each.index} {each.name}" for each in machine.gpus) or "no GPU"
    )
    names = ", ".join(each.name for each in plan.slots)
    return f"{gpus}; {count_text(machine.cores, 'CPU core')}; {plan} ({names})"


def _check_database(options: MachineOptions) -> Iterator[Check]:
    from lrsearch.storage import check_storage, mask

    try:
        url = options.url
        check_storage(url)
    except LrSearchError as error:
        fix = "Mend it, or give another --storage."
        yield Check(name="database", text=str(error), fix=fix)
        return
    yield Check(name="database", text=f"{mask(url)} can be used")
    root = checkpoint_root(None, url)
    if os.access(root if root.exists() else root.parent, os.W_OK):
        yield Check(name="checkpoints", text=f"{root} can be written")
        return
    fix = "Give a folder that you may write with --checkpoints."
    yield Check(name="checkpoints", text=f"{root} cannot be written", fix=fix)


def _check_training(
    machine: Machine, slots: tuple[Slot, ...], study_file: Path | None
) -> Iterator[Check]:
    """Train two steps in a process of its own, bound to the first slot.

    The training checks TensorFlow, its devices, the study file and the memory, too.
    """
    command = [sys.executable, "-P", "-m", "lrsearch.engine.probing"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [*command, *([str(study_file)] if study_file else [])],
            env=environment(slots[0], os.environ),
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        fix = "Look at the machine's load; run it again."
        slow = f"two steps took longer than {PROBE_SECONDS:g} s"
        yield Check(name="training", text=slow, fix=fix)
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        fix = "Reinstall TensorFlow and Keras."
        if study_file:
            fix = "Mend the study file; lrsearch start-study shows its traceback."
        yield Check(name="training", text=last, fix=fix)
        return
    report = json.loads(done.stdout.strip().splitlines()[-1])
    yield _check_gpu(slots[0], report)
    took = f"two steps in {report['seconds']:.1f} s, once TensorFlow is loaded"
    yield Check(name="training", text=took)
    yield _check_memory(machine, slots, report)


def _check_gpu(slot: Slot, report: dict[str, Json]) -> Check:
    text = f"sees {', '.join(report['devices'])}"
    if not slot.gpu or any("GPU" in each for each in report["devices"]):
        return Check(name="tensorflow", text=text)
    install = "pip install 'lrsearch[gpu]', and check the driver's version."
    return Check(name="tensorflow", text=text, fix=f"TensorFlow sees no GPU: {install}")


def _check_memory(
    machine: Machine, slots: tuple[Slot, ...], report: dict[str, Json]
) -> Check:
    """Compare the memory of all workers, TensorFlow and the data included, with the free memory."""
    each, free = max(CPU_WORKER_MIB, report["peak_mib"]), machine.memory_mib
    needed = round(each * len(slots))
    text = f"{needed} MiB for {count_text(len(slots), 'worker')}"
    if free is None:
        return Check(name="memory", text=f"{text}; what is free is not known here")
    text = f"{text} ({report['data_mib']:.0f} MiB of data in each), {free} MiB free"
    fix = (
        "" if needed <= free else f"Start fewer: --workers {max(1, int(free // each))}"
    )
    return Check(name="memory", text=text, fix=fix)
