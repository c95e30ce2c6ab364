"""What is left of a machine, by the files that a kernel shows: control groups of both
versions, and their ancestors.
"""

import os
from types import SimpleNamespace

import psutil
import pytest

from lrsearch.machine import free_memory_mib, hardware, usable_cores

GIB = 2**30
HERE = len(os.sched_getaffinity(0))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Writes files below a root, on a machine with 8 GiB free; returns the root."""
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GIB)
    )

    def write(**files):
        for path, text in files.items():
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path

    return lambda files: write(**files)


def test_without_limits_the_machines_own_memory_is_free(machine):
    assert free_memory_mib(machine({"proc/self/cgroup": "0::/user.slice\n"})) == 8192


def test_a_limit_of_version_2_counts_less_what_is_used_cached_files_aside(machine):
    group = "sys/fs/cgroup/job"
    files = {
        "proc/self/cgroup": "0::/job\n",
        f"{group}/memory.max": f"{3 * GIB}\n",
        f"{group}/memory.current": f"{2 * GIB}\n",
        f"{group}/memory.stat": f"anon 1\ninactive_file {GIB}\n",
    }
    assert free_memory_mib(machine(files)) == 2048


def test_an_ancestors_limit_counts_too(machine):
    files = {
        "proc/self/cgroup": "0::/slurm/job/step\n",
        "sys/fs/cgroup/slurm/job/step/memory.max": "max\n",
        "sys/fs/cgroup/slurm/job/memory.max": f"{GIB}\n",
        "sys/fs/cgroup/slurm/job/memory.current": "0\n",
        "sys/fs/cgroup/slurm/job/cpu.max": "100000 100000\n",
    }
    assert free_memory_mib(machine(files)) == 1024
    assert usable_cores(machine(files)) == 1


def test_a_limit_of_version_1_counts(machine):
    files = {
        "proc/self/cgroup": "4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/job/memory.stat": "total_inactive_file 0\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
    }
    assert free_memory_mib(machine(files)) == 1024
    assert usable_cores(machine(files)) == 1


def test_a_container_whose_path_is_not_shown_has_its_limit_at_the_top(machine):
    files = {
        "proc/self/cgroup": "0::/docker/0123\n",
        "sys/fs/cgroup/memory.max": f"{GIB}\n",
        "sys/fs/cgroup/memory.current": "0\n",
        "sys/fs/cgroup/cpu.max": "max 100000\n",
    }
    assert free_memory_mib(machine(files)) == 1024
    assert usable_cores(machine(files)) == HERE


def test_a_group_that_is_over_its_limit_leaves_nothing(machine):
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": f"{GIB}\n",
        "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
    }
    assert free_memory_mib(machine(files)) == 0


def test_where_nothing_is_known_nothing_is_claimed(tmp_path, monkeypatch):
    def refused():
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "virtual_memory", refused)
    assert free_memory_mib(tmp_path) is None
    assert usable_cores(tmp_path) == HERE


def test_the_hardware_is_described_by_what_the_kernel_shows(tmp_path):
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text(
        "processor : 0\nmodel name\t: A CPU @ 3 GHz\n"
    )
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information"
    card.write_text("Model: \t NVIDIA H100\nIRQ: 16\n")
    found = hardware(tmp_path)
    assert (found["processor"], found["gpus"]) == ("A CPU @ 3 GHz", "NVIDIA H100")
    assert int(found["cores"]) >= 1
    assert all(isinstance(value, str) for value in found.values())
    card.unlink()
    assert "gpus" not in hardware(tmp_path)
