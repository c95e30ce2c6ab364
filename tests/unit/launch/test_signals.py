"""The signals of whoever starts a study: theirs alone, also where the caller's own code forks meanwhile."""

import subprocess
import sys

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
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["-15", "-15", "-15", "None"]), done.stderr
