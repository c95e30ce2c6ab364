"""Worker processes that follow a script, in the place of `lrsearch.worker`: they start in a moment."""

import sys

import pytest

from lrsearch.launch import child
from lrsearch.setup.slots import Slot
from lrsearch.worker.config import WorkerConfig

# Each worker of a slot follows the next script of its configuration, once it is told to
# work (or to inspect, where the script begins so).
WORKER = """
import json, os, sys, time
config = json.loads(sys.stdin.readline())
mark = os.path.join(config["checkpoints"], config["slot"].replace(":", "-"))
with open(mark, "a") as file:
    life = file.tell()
    file.write("x")
scripts = config["overrides"]
scripts = (scripts["by_slot"] or {}).get(config["slot"], scripts["scripts"])
script = scripts[min(life, len(scripts) - 1)]
def say(message):
    os.write(1, json.dumps(message).encode() + b"\\n")
say({"event": "ready", "pid": os.getpid()})
def hear():
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    return json.loads(line)["do"]
for action, value in script:
    if action == "hear":
        while hear() != value:
            pass
    elif action == "say":
        say(value)
    elif action == "write":
        os.write(1, value.encode())
    elif action == "print":
        print(value, file=sys.stderr, flush=True)
    elif action == "close":
        os.close(1)
    elif action == "sleep":
        time.sleep(value)
    elif action == "fork" and not os.fork():
        time.sleep(value)
    elif action == "exit":
        os._exit(value)
while True:
    if hear() in {"quit", "interrupt"}:
        os._exit(0)
"""


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    """Makes the configuration of workers that follow these scripts, one after another in a slot."""
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-S", "-c", WORKER))

    def make(*scripts, by_slot=None):
        overrides = {"scripts": scripts, "by_slot": by_slot}
        return WorkerConfig(
            storage="", study_file=None, checkpoints=str(tmp_path), overrides=overrides
        )

    return make


def slots(count=1):
    return [Slot(name=f"cpu:{number}", threads=1) for number in range(count)]
