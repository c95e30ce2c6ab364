"""What this machine has left for us: cores, memory, signals, and whether we run on it at all. Knows nothing of studies.

Tested on Linux alone. macOS has no affinity, no /proc and no cgroups, and needs none here; Windows is refused.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from lrsearch.errors import EnvironmentProblem

_MIB = 2**20

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks a process to end."""


def check_system() -> None:
    """Refuse Windows: workers need process groups, signals and file descriptors that it does not have."""
    if sys.platform == "win32":
        raise EnvironmentProblem(
            "lrsearch does not run on Windows itself.", fix="Use WSL, where it runs as on Linux: wsl --install, then pip there."
        )


def usable_cores() -> int:
    """CPU cores that this process may use: its affinity, and the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return max(1, cores)
    return max(1, cores if quota == "max" else min(cores, int(quota) // int(period)))


def free_memory_mib() -> int | None:
    """Memory that is free for new processes: the machine's, or what the container has left. None where it is not known."""
    import psutil

    free = None
    with suppress(OSError, RuntimeError, psutil.Error):
        free = int(psutil.virtual_memory().available) // _MIB
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return free
    left = (limit - used) // _MIB
    return left if free is None else min(free, left)


def free_bytes() -> float:
    """The same in bytes; infinity where it is not known."""
    free = free_memory_mib()
    return float("inf") if free is None else float(free * _MIB)


def resident_bytes() -> int:
    """Memory that this process has; 0 where it is not known."""
    import psutil

    with suppress(OSError, RuntimeError, psutil.Error):
        return int(psutil.Process().memory_info().rss)
    return 0


def peak_bytes() -> int:
    """The most memory that this process ever had; what it has now where the system does not tell."""
    try:
        import resource
    except ImportError:
        return resident_bytes()
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
