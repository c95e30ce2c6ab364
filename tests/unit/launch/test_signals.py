"""Signals to a parent of workers: the first asks, what was told to outlive its terminal
does, and forks of the caller's are left alone.
"""

import os
import signal
import subprocess
import sys

import pytest

from lrsearch.launch.signals import Signals

FORKS = """
import multiprocessing, time
from lrsearch.launch.signals import Signals
fork = multiprocessing.get_context("fork")
with Signals(first=lambda number: print("first", number), second=lambda: print("second")) as signals:
    for _ in range(3):
        child = fork.Process(target=time.sleep, args=(30,))
        child.start()
        time.sleep(0.1)
        child.terminate()
        child.join(5)
        print(child.exitcode)
        child.kill()
    time.sleep(0.7)  # longer than the guard's patience
    print(signals.number)
"""


def test_a_child_of_the_callers_own_that_is_terminated_ends_nothing_else():
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (
        0,
        ["-15", "-15", "-15", "None"],
    ), done.stderr


@pytest.fixture
def hangup():
    """Sets what SIGHUP does; what it did before comes back."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("before", "heard"),
    [(signal.SIG_DFL, [signal.SIGHUP]), (signal.SIG_IGN, [])],
    ids=["plain", "nohup"],
)
def test_a_hangup_asks_unless_it_is_ignored(hangup, before, heard):
    hangup(before)
    asked = []
    with Signals(first=asked.append, second=lambda: None):
        os.kill(os.getpid(), signal.SIGHUP)
    assert asked == heard
    assert signal.getsignal(signal.SIGHUP) is before
