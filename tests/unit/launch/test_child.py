"""A worker process as its parent sees it: real processes that follow a script."""

import os
import signal
import time
from queue import SimpleQueue

import pytest
from scripted import scripted as scripted  # noqa: PLC0414 - a fixture
from scripted import slots

from lrsearch.launch import child as module
from lrsearch.launch.child import TAIL_LINES, Child, Exited, describe_exit, environment
from lrsearch.messages import Note, Quit, Work, WorkerReady
from lrsearch.setup.slots import Slot

NOTE = ("say", Note(text="well").to_json())
EXIT = ("exit", 3)


@pytest.fixture
def follow(scripted):
    """Lets a worker follow a script to its end; returns it, and what came, its pid aside."""
    children = []

    def follow(*script, tell=()):
        inbox = SimpleQueue()
        child = Child(slots()[0], scripted(script), inbox)
        children.append(child)
        for command in tell:
            child.send(command)
        came = []
        while not came or not isinstance(came[-1], Exited):
            came.append(inbox.get(timeout=30)[1])
        assert came.pop(0) == WorkerReady(pid=child.pid)
        return child, came

    yield follow
    for each in children:
        each.kill()
        each.close()


def test_what_a_worker_says_comes_in_order_and_its_exit_last(follow):
    child, came = follow(NOTE, EXIT)
    assert came == [Note(text="well"), Exited(3)]
    assert child.describe_end(3) == "exit code 3"


def test_commands_reach_the_worker_and_a_worker_that_is_gone_does_not_mind_one(follow):
    child, came = follow(("hear", "work"), NOTE, tell=[Work(study="toy"), Quit()])
    assert came == [Note(text="well"), Exited(0)]
    child.send(Quit())


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        '{"event": "exit", "code": 0}',
        '{"event": ["done"]}',
        '{"event": "done"}',
    ],
)
def test_a_worker_that_writes_what_is_no_message_is_ended(follow, line):
    child, came = follow(("write", f"{line}\n"), ("sleep", 30), EXIT)
    assert came == [Exited(-signal.SIGKILL)]
    assert (
        child.describe_end(-signal.SIGKILL)
        == f"it wrote to lrsearch's own pipe: {line!r}"
    )


def test_a_worker_that_dies_in_the_middle_of_a_line_is_not_accused_of_it(follow):
    child, came = follow(("write", '{"event": "no'), EXIT)
    assert (came, child.verdict) == ([Exited(3)], "")


def test_a_worker_that_closes_its_pipe_is_ended(follow, monkeypatch):
    monkeypatch.setattr(module, "MUTE_SECONDS", 0.1)
    child, came = follow(("close", 0), ("sleep", 30), EXIT)
    assert came == [Exited(-signal.SIGKILL)]
    assert child.verdict == "it closed the pipe to its parent"


def test_what_a_worker_started_ends_with_it(follow):
    child, came = follow(("fork", 60), EXIT)
    assert came == [Exited(3)]
    until = time.monotonic() + 30
    while _group_lives(child.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _group_lives(child.pid)


def _group_lives(number):
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_whole_lines_that_it_printed_are_told_once_and_the_last_are_kept(follow):
    child, _ = follow(*(("print", f"line {number}") for number in range(60)), EXIT)
    assert child.read_output() == [f"line {number}" for number in range(60)]
    assert child.read_output() == []
    assert child.read_tail().splitlines() == [
        f"line {number}" for number in range(60 - TAIL_LINES, 60)
    ]


def test_the_file_of_what_it_printed_is_emptied_before_it_fills_the_disk(
    follow, monkeypatch
):
    monkeypatch.setattr(module, "_OUTPUT_BYTES", 1000)
    child, _ = follow(("print", "x" * 1500), EXIT)
    child.read_output()
    assert os.fstat(child._output.fileno()).st_size == 0
    assert child.read_tail() == "x" * 1000


def test_an_ending_is_told_by_the_parents_verdict_then_the_signal_then_the_code(follow):
    child, _ = follow(EXIT)
    child.signalled = "SIGTERM"
    assert child.describe_end(3) == "told to stop by SIGTERM"
    child.kill("it ran too long")
    child.kill("again")
    assert child.describe_end(-9) == "it ran too long"
    assert [describe_exit(code) for code in (0, -9, -99)] == [
        "exit code 0",
        "signal SIGKILL",
        "signal 99",
    ]


def test_a_workers_environment_is_bound_to_its_slot_and_quiet_unless_asked_otherwise():
    slot = Slot(name="cpu:0", threads=1, env={"A": "1"}, unset=("B",))
    made = environment(slot, {"A": "0", "B": "0", "C": "0", "PYTHONUNBUFFERED": ""})
    assert made == {
        "A": "1",
        "C": "0",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "",
    }
