"""Systems that are not at hand: macOS, as far as it can be imitated, and Windows, which is refused."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
from other_system import pretend

from lrsearch import machine, search
from lrsearch.cli.main import main
from lrsearch.errors import EnvironmentProblem


def test_windows_is_refused_in_one_line_that_says_to_use_wsl(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as left:
        main(["studies", "--json"])
    out, err = capsys.readouterr()
    assert left.value.code == 3
    assert err.count("\n") == 1
    assert "WSL" in err
    assert "wsl --install" in json.loads(out)["fix"]
    with pytest.raises(EnvironmentProblem, match="WSL"):
        search("study.py")


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "lrsearch", "--help"],
        ["-c", "import lrsearch; lrsearch.search('study.py')"],
    ],
)
def test_on_windows_nothing_fails_before_that_line(words, tmp_path):
    done = subprocess.run(
        [sys.executable, *words],
        env=pretend(tmp_path, "win32", os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {1, 3}
    assert done.stderr.splitlines()[-1].endswith(
        "Use WSL, where it runs as on Linux: wsl --install, then pip there."
    )


def test_without_sighup_the_other_signals_stop(tmp_path):
    code = "from lrsearch.machine import STOP_SIGNALS; import lrsearch.launch.signals; print([each.name for each in STOP_SIGNALS])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=pretend(tmp_path, "darwin", os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['SIGINT', 'SIGTERM']"


def test_free_memory_is_the_systems_word(monkeypatch, tmp_path):
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * 2**20)
    )
    assert machine.free_memory_mib(tmp_path) == 3


def test_memory_that_no_system_tells_is_none(monkeypatch):
    def refused():
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "Process", refused)
    assert machine.resident_bytes() == 0


def test_this_process_has_memory_and_had_at_least_as_much():
    assert 2**20 < machine.resident_bytes() <= machine.peak_bytes() + 2**20


def test_the_peak_is_counted_in_the_systems_unit_or_is_what_there_is_now(monkeypatch):
    here = machine.peak_bytes()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine.peak_bytes() <= here / 512, "macOS counts bytes"
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.peak_bytes() == pytest.approx(machine.resident_bytes(), rel=0.1)


def test_cores_are_counted_where_there_is_no_affinity(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert machine.usable_cores(tmp_path) == 1
