"""Studies of the toy that a test starts, in this process or in one of their own, and
what it reads of them afterwards.
"""

import json
import os
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from lrsearch.storage import open_ledger
from lrsearch.values import Kind

HERE = Path(__file__).parent
# In a process of its own, with the server that forks its workers beside it.
DRIVER = """
import json, sys
import lrsearch.launch.child
from fork_server import ForkServer
lrsearch.launch.child.subprocess = ForkServer.beside().fork_workers()
from lrsearch.errors import LrSearchError
from launching import run_study
def listen(event):
    print(json.dumps(event.to_json()), flush=True)
try:
    run_study(listen=listen, **json.loads(sys.argv[1]))
except LrSearchError as error:
    print(json.dumps({"event": "raised", "kind": type(error).__name__, "text": str(error)}), flush=True)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def study(tmp_path, monkeypatch, fork_server):
    """A maker of toy studies in a folder of their own, whose workers are forked
    (fork_server.py); returns the arguments of `run_study`.
    """
    monkeypatch.setattr("lrsearch.launch.child.subprocess", fork_server.fork_workers())
    monkeypatch.setattr(Driver, "server", fork_server)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.delenv("LRSEARCH_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)

    def make(*, workers=2, trials=6, retest=0, **says):
        says.setdefault("journal", str(tmp_path / "journal"))
        (tmp_path / "toy.json").write_text(json.dumps(says))
        return {
            "study_file": str(tmp_path / "toy.json"),
            "storage": f"sqlite:///{tmp_path}/toy.db",
            "engine_factory": "worker_toy:loader",
            "devices": "cpu",
            "workers": workers,
            "trials": trials,
            "retest": retest,
            "sampler": "random",
            "pruner": "none",
        }

    return make


@contextmanager
def ledger_of(arguments):
    ledger = open_ledger(arguments["storage"])
    try:
        yield ledger
    finally:
        ledger.close()


def records(arguments, kind=Kind.SEARCH):
    with ledger_of(arguments) as ledger:
        return list(ledger.trials(ledger.study("toy").id, kind=kind))


def states(arguments):
    return Counter(each.state for each in records(arguments))


def journal(path):
    return [json.loads(line) for line in Path(path, "journal").read_text().splitlines()]


class Driver:
    """`run_study` in a process of its own, its events read as they come."""

    server = None  # the fixture `study` sets it

    def __init__(self, arguments):
        given = f"import sys; sys.argv = ['-c', {json.dumps(arguments)!r}]\n"
        self.process = self.server.popen(
            given + DRIVER, stdout=subprocess.PIPE, text=True
        )
        self.seen = []
        self.pids = set()

    def until(self, *names):
        """The next event of one of these names."""
        for line in self.process.stdout:
            event = json.loads(line)
            self.seen.append(event)
            if event["event"] == "ready":
                self.pids.add(event["pid"])
            if event["event"] in names:
                return event
        raise AssertionError(f"it ended before {names}: {self.seen[-3:]}")

    def end(self, timeout):
        """Exit code, once it and its last words are there."""
        rest, _ = self.process.communicate(timeout=timeout)
        self.seen += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode


@contextmanager
def driven(arguments):
    driver = Driver(arguments)
    try:
        yield driver
    finally:
        driver.process.kill()
        driver.process.communicate()


def alive(pids):
    return [
        pid
        for pid in pids
        if Path(f"/proc/{pid}").exists()
        and "lrsearch.worker" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


def gone_within(pids, seconds):
    until = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pids)
