"""What this machine has left for us: cores and memory, from the operating system's own files. Knows nothing of studies."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MIB = 2**20


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
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    known = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    free = int(known.group(1)) // 1024 if known else None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return free
    left = (limit - used) // 2**20
    return left if free is None else min(free, left)


def free_bytes() -> float:
    """The same in bytes; infinity where it is not known."""
    free = free_memory_mib()
    return float("inf") if free is None else float(free * _MIB)


def resident_bytes() -> int:
    """Memory that this process has; 0 where it is not known."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
