"""Reads this machine's cores, memory and name, and refuses systems that lrsearch does not run on.

Knows nothing of studies.

Tested on Linux only. macOS has no affinity, no /proc and no control groups, and needs
none here; Windows is refused. Containers and batch systems limit cores and memory by
control groups, of version 1 or 2, and a group's ancestors limit the group too. All
files are read below `root`, for tests with files of their own.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lrsearch.errors import EnvironmentProblem

_MIB = 2**20
_ROOT = Path("/")
_NO_LIMIT = 2**60  # version 1 writes about 2**63 where there is none

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)
"""The signals that ask a process to end."""


def check_system() -> None:
    """Refuse Windows, which lacks the process groups and signals that workers need."""
    if sys.platform == "win32":
        raise EnvironmentProblem(
            "lrsearch does not run on Windows itself.",
            fix="Use WSL, where it runs as on Linux: wsl --install, then pip there.",
        )


def host_name() -> str:
    """This machine's name, under which workers are listed."""
    return platform.node() or os.environ.get("HOSTNAME", "unknown")


def hardware(root: Path = _ROOT) -> dict[str, str]:
    """This machine in words: processor, cores, memory, system, GPUs; what is not known is left out.

    The GPUs are all that the machine has, not those of a worker's slot.
    """
    import psutil

    found = {"cores": str(usable_cores(root)), "system": platform.platform()}
    model = re.search(
        r"^model name\s*:\s*(.+)$", _text(root / "proc/cpuinfo"), re.MULTILINE
    )
    if processor := model.group(1) if model else platform.processor():
        found["processor"] = processor
    with suppress(OSError, RuntimeError, psutil.Error):
        found["memory_gib"] = str(round(psutil.virtual_memory().total / 2**30))
    drivers = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    names = (
        re.search(r"^Model:\s*(.+?)\s*$", _text(each), re.MULTILINE) for each in drivers
    )
    if gpus := [each.group(1) for each in names if each]:
        found["gpus"] = ", ".join(gpus)
    return found


# The memory controller of versions 1 and 2: the files of the limit and of the use, and
# the field of memory.stat for cached files that are not in use.
_MEMORY = (
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ("memory.max", "memory.current", "inactive_file"),
)


def usable_cores(root: Path = _ROOT) -> int:
    """CPU cores that this process may use: its affinity, and the quotas of its control groups."""
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    return max(1, min([cores, *_quotas(root)]))


def free_memory_mib(root: Path = _ROOT) -> int | None:
    """Memory that is free for new processes, on the machine and in its control groups.

    None where it is not known.
    """
    return min([*_available(), *_left(root)], default=None)


def _available() -> Iterator[int]:
    """MiB that are free on the machine, where it is known."""
    import psutil

    with suppress(OSError, RuntimeError, psutil.Error):
        yield int(psutil.virtual_memory().available) // _MIB


def free_bytes() -> float:
    """Free memory in bytes; infinity where it is not known."""
    free = free_memory_mib()
    return float("inf") if free is None else float(free * _MIB)


def resident_bytes() -> int:
    """Bytes of memory that this process uses; 0 where it is not known."""
    import psutil

    with suppress(OSError, RuntimeError, psutil.Error):
        return int(psutil.Process().memory_info().rss)
    return 0


def peak_bytes() -> int:
    """The most memory that this process has used, in bytes; else the memory that it uses now."""
    try:
        import resource
    except ImportError:
        return resident_bytes()
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _quotas(root: Path) -> Iterator[int]:
    """Whole cores that each group's quota allows."""
    for folder in _groups(root, "cpu"):
        quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
        if not period:
            quota = _text(folder / "cpu.cfs_quota_us").strip()
            period = _text(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit():  # "max" and -1 are no limit
            yield int(quota) // int(period)


def _left(root: Path) -> Iterator[int]:
    """MiB that are free in each group; cached files count as free, since the kernel drops them."""
    for folder in _groups(root, "memory"):
        for limit_file, used_file, inactive in _MEMORY:
            limit, used = (
                _text(folder / name).strip() for name in (limit_file, used_file)
            )
            if limit.isdigit() and used.isdigit() and int(limit) < _NO_LIMIT:
                stat = _text(folder / "memory.stat")
                cached = re.search(rf"^{inactive} (\d+)$", stat, re.MULTILINE)
                taken = int(used) - (int(cached.group(1)) if cached else 0)
                yield max(0, int(limit) - taken) // _MIB


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """This process' control groups for `controller`, from its own up to the topmost.

    In a container the path that the kernel names may not exist; the topmost folder is
    then the container's own group.
    """
    for line in _text(root / "proc/self/cgroup").splitlines() or ["0::/"]:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers  # version 2 has one folder for all
        own = mount / path.strip("/")
        yield from (each for each in (own, *own.parents) if each.is_relative_to(mount))


def _text(path: Path) -> str:
    """The file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
