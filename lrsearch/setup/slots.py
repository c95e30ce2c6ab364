"""Divides a machine into slots, with the reason for the division.

A slot is a worker's share: a GPU, a part of one, or some CPU threads. The worker's
environment binds the worker to its slot before TensorFlow loads. A machine without GPUs
gets one worker per core, or fewer where memory is short or trials are few; the workers
divide the threads. Knows nothing of studies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lrsearch.answer.words import count_text
from lrsearch.errors import DeviceProblem, InvalidValue
from lrsearch.options import MachineOptions
from lrsearch.setup.devices import Machine, choose_gpus
from lrsearch.setup.nvidia import Gpu

# 0.6 GiB per process for CUDA's context and libraries, on a shared GPU
OVERHEAD_MIB = 614
# 0.8 GiB: TensorFlow, a small data set and reserve. The system kills workers that do
# not fit.
CPU_WORKER_MIB = 819
_GROWS = "TF_FORCE_GPU_ALLOW_GROWTH"


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One worker's share; its process starts with the variables `env` and without `unset`."""

    name: str  # "gpu:0", "gpu:0/2", "cpu:1"
    threads: int
    memory_mib: int | None = None  # a hard limit on the GPU's memory
    env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()

    @property
    def gpu(self) -> bool:
        return self.name.startswith("gpu")


def environment(slot: Slot, environ: Mapping[str, str]) -> dict[str, str]:
    """Make a worker's environment: `environ`, bound to `slot`.

    TensorFlow's log messages are off unless `environ` asks for them.
    """
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
    }
    kept = {name: value for name, value in environ.items() if name not in slot.unset}
    return {**quiet, **kept, **slot.env}


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotPlan:
    """Slots, and the reason for them."""

    slots: tuple[Slot, ...]
    reason: str

    @property
    def threads(self) -> int | None:
        """Threads of each CPU worker; None on GPUs, where results do not depend on them."""
        return None if self.slots[0].gpu else self.slots[0].threads

    def __str__(self) -> str:
        """`2 workers of 1 thread: one per core`."""
        workers, threads = len(self.slots), self.slots[0].threads
        return f"{count_text(workers, 'worker')} of {count_text(threads, 'thread')}: {self.reason}"


def plan_slots(
    machine: Machine,
    asked: MachineOptions | None = None,
    *,
    trials: int | None = None,
    kept: int | None = None,
) -> SlotPlan:
    """Divide `machine` into slots.

    `trials` is the number of trials to train, where it is known. `kept` is the number
    of threads that the study's CPU workers had: a trial resumes bitwise only under the
    same number. Raises DeviceProblem where a device does not exist, InvalidValue for
    contradictory options.
    """
    asked = asked or MachineOptions()
    gpus = choose_gpus(machine, asked.devices)
    if gpus:
        return _gpu_plan(machine, gpus, asked)
    for option, value in (
        ("--per-device", asked.per_device),
        ("--gpus-per-trial", asked.gpus_per_trial),
    ):
        if value is not None:
            fix, allowed = "Give --workers instead.", "left out on a CPU"
            raise InvalidValue(option, got=value, allowed=allowed, fix=fix)
    return _cpu_plan(machine, asked, trials=trials, kept=kept)


# -- CPU cores -------------------------------------------------------------------------


def _cpu_plan(
    machine: Machine, asked: MachineOptions, *, trials: int | None, kept: int | None
) -> SlotPlan:
    free = _divide_cores(machine, asked, trials=trials)
    if kept is None or free.threads == kept:
        return free
    if asked.threads is not None:
        warning = f"the study began with {kept}, so what was interrupted does not resume bitwise"
        return replace(free, reason=f"{free.reason}; {warning}")
    same = _divide_cores(machine, replace(asked, threads=kept), trials=trials)
    why = "as many threads as the study began with, which resumes bitwise (--threads changes it)"
    return replace(
        same, reason=f"--workers {asked.workers}; {why}" if asked.workers else why
    )


def _divide_cores(
    machine: Machine, asked: MachineOptions, *, trials: int | None
) -> SlotPlan:
    count, reason = _cpu_workers(machine, asked, trials)
    threads = asked.threads or max(1, machine.cores // count)
    env = {"CUDA_VISIBLE_DEVICES": "-1", **_thread_env(threads)}
    names = ["cpu"] if count == 1 else [f"cpu:{index}" for index in range(count)]
    slots = tuple(Slot(name=name, threads=threads, env=env) for name in names)
    return SlotPlan(slots=slots, reason=reason)


def _cpu_workers(
    machine: Machine, asked: MachineOptions, trials: int | None
) -> tuple[int, str]:
    """The number of workers that cores, memory and trials allow, and the limit that decides.

    Where limits are equal, the first one decides.
    """
    threads = f"--threads {asked.threads}" if asked.threads else ""
    if asked.workers is not None:
        return asked.workers, ", ".join(
            filter(None, [f"--workers {asked.workers}", threads])
        )
    limits = [
        (max(1, machine.cores // (asked.threads or 1)), threads or "one per core")
    ]
    if machine.memory_mib is not None:
        free = f"{machine.memory_mib / 1024:.1f} GiB of memory are free"
        room = max(1, machine.memory_mib // CPU_WORKER_MIB)
        limits.append((room, f"{free}, and a worker takes about 0.8"))
    if trials is not None:
        limits.append((max(1, trials), f"{count_text(trials, 'trial')} to train"))
    return min(limits, key=lambda limit: limit[0])


# -- GPUs ------------------------------------------------------------------------------


def _gpu_plan(machine: Machine, gpus: Sequence[Gpu], asked: MachineOptions) -> SlotPlan:
    if (asked.gpus_per_trial or 1) > 1:
        return _group_plan(machine, gpus, asked)
    # More workers than GPUs must share.
    share = asked.per_device or (-(-asked.workers // len(gpus)) if asked.workers else 1)
    # Every GPU gets a first worker before any gets a second.
    places = [(gpu, part) for part in range(share) for gpu in gpus][
        : asked.workers or None
    ]
    threads = asked.threads or max(1, machine.cores // len(places))
    sharing = {
        gpu.index: sum(each.index == gpu.index for each, _ in places) for gpu in gpus
    }
    words = _words_of(asked, "workers", "per_device", "threads")
    slots = (_gpu_slot(gpu, part, sharing[gpu.index], threads) for gpu, part in places)
    return SlotPlan(slots=tuple(slots), reason=", ".join(words) or "one per GPU")


def _words_of(asked: MachineOptions, *names: str) -> list[str]:
    """The options of these names that were given, as on the command line."""
    options = {name: getattr(asked, name) for name in names}
    return [
        f"--{name.replace('_', '-')} {value}"
        for name, value in options.items()
        if value
    ]


def _group_plan(
    machine: Machine, gpus: Sequence[Gpu], asked: MachineOptions
) -> SlotPlan:
    """Give each worker several GPUs, for models under a MirroredStrategy."""
    each = asked.gpus_per_trial or 1
    groups = [gpus[at : at + each] for at in range(0, len(gpus) - each + 1, each)]
    _check_groups(gpus, groups, asked)
    groups = groups[: asked.workers or None]
    threads = asked.threads or max(1, machine.cores // len(groups))
    words = _words_of(asked, "gpus_per_trial", "workers", "threads")
    if left := [f"gpu:{gpu.index}" for gpu in gpus[len(groups) * each :]]:
        words.append(f"{', '.join(left)} left over")
    slots = (_group_slot(group, threads) for group in groups)
    return SlotPlan(slots=tuple(slots), reason=", ".join(words))


def _check_groups(
    gpus: Sequence[Gpu], groups: Sequence[Sequence[Gpu]], asked: MachineOptions
) -> None:
    """Raise InvalidValue or DeviceProblem where these GPUs cannot be grouped as asked."""
    each = asked.gpus_per_trial
    if asked.per_device is not None:
        fix = "Leave one of the two out."
        allowed = "left out beside --gpus-per-trial"
        raise InvalidValue(
            "--per-device", got=asked.per_device, allowed=allowed, fix=fix
        )
    if sliced := next((gpu for gpu in gpus if gpu.uuid.startswith("MIG-")), None):
        # CUDA lets a process use several slices since driver 570 only (NVIDIA's MIG
        # guide).
        what = f"gpu:{sliced.index} is a MIG slice, and a worker trains on one slice"
        raise DeviceProblem(f"{what}.", fix="Leave --gpus-per-trial out.")
    if not groups:
        have = count_text(len(gpus), "GPU")
        fix = f"Give --gpus-per-trial {len(gpus)} or less."
        raise DeviceProblem(
            f"--gpus-per-trial {each} needs {each} GPUs; this machine shows {have}.",
            fix=fix,
        )
    if asked.workers is not None and asked.workers > len(groups):
        allowed = f"at most {len(groups)}, with {each} of {len(gpus)} GPUs each"
        raise InvalidValue("--workers", got=asked.workers, allowed=allowed)


def _group_slot(group: Sequence[Gpu], threads: int) -> Slot:
    name = f"gpu:{'+'.join(str(gpu.index) for gpu in group)}"
    visible = ",".join(gpu.uuid for gpu in group)
    env = _gpu_env(visible, threads) | {_GROWS: "true"}
    return Slot(name=name, threads=threads, env=env)


def _gpu_env(visible: str, threads: int) -> dict[str, str]:
    bound = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": visible}
    return bound | _thread_env(threads)


def _gpu_slot(gpu: Gpu, part: int, sharing: int, threads: int) -> Slot:
    """Make the slot of a worker on a GPU.

    A worker alone on a GPU may let its memory grow; workers that share one have a hard
    limit each. TensorFlow refuses both at once.
    """
    env = _gpu_env(gpu.uuid, threads)
    if sharing == 1:
        return Slot(
            name=f"gpu:{gpu.index}", threads=threads, env=env | {_GROWS: "true"}
        )
    if gpu.memory_mib is None:
        what = f"the memory of gpu:{gpu.index} ({gpu.name}) is not known"
        raise DeviceProblem(
            f"{what}, so it cannot be shared.", fix="Leave --per-device out."
        )
    limit = (gpu.memory_mib - sharing * OVERHEAD_MIB) // sharing
    if limit < OVERHEAD_MIB:
        little = f"gpu:{gpu.index} has {gpu.memory_mib} MiB: too little for {sharing} workers."
        raise DeviceProblem(little, fix="Lower --per-device.")
    name = f"gpu:{gpu.index}/{part}"
    return Slot(name=name, threads=threads, memory_mib=limit, env=env, unset=(_GROWS,))


def _thread_env(threads: int) -> dict[str, str]:
    """Limit the threads of NumPy's libraries, which the user's data code may call.

    The worker limits TensorFlow's threads itself.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
