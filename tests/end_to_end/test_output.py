"""Output that ends before the command does: closed pipes and full disks change neither
the study nor the exit code, and raise nothing.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_tools import add_worker, plan, train

from lrsearch.storage import open_ledger

LEFT = [sys.executable, "-m", "lrsearch"]


@pytest.fixture
def study(tmp_path):
    """A study in a folder; returns the folder."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/lrsearch.db", create=True)
    made = ledger.create_study(plan(trials=3, retest_seeds=0))
    train(ledger, made, add_worker(ledger, made))
    ledger.close()
    return tmp_path


def run(folder, *arguments, stdout, stderr=subprocess.PIPE):
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LRSEARCH")
    }
    command = [*LEFT, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def unread():
    """The writing end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def test_a_reader_that_left_is_no_error(study, unread):
    done = run(study, "trials", "toy", stdout=unread)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_keeps_its_code_where_nobody_reads_it(study, unread):
    assert run(study, "trials", "another", stdout=unread, stderr=unread).returncode == 2


def test_a_full_disk_under_the_output_is_one_line(study):
    with Path("/dev/full").open("w") as full:
        done = run(study, "trials", "toy", stdout=full)
    assert done.returncode == 3
    assert (
        done.stderr
        == "lrsearch: the output cannot be written: No space left on device; the study is not affected."
        " Free some room, or send the output elsewhere.\n"
    )
