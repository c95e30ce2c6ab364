"""The process beside a search: when it starts, what it is told, how it ends, what it says."""

import os
import sys
import threading

import pytest

from lrsearch.errors import InvalidValue
from lrsearch.messages import Event, PoolEnded, StudyBegun, TrialEnded
from lrsearch.trackers import beside
from lrsearch.values import Direction, Kind, Origin, Status

URL = "postgresql+psycopg://me:secret@host/db"
BEGUN = StudyBegun(
    study="flowers", objective="val_loss", direction=Direction.MINIMIZE, trials=3, trainings=None,
    done=0, deadline=None, retest=0, retested=0, best=None, yours=None,
)  # fmt: skip
ENDED = TrialEnded(
    trial_id=1, attempt=1, number=0, kind=Kind.SEARCH, origin=Origin.YOURS, label="trial 0",
    short="0", status=Status.COMPLETE, value=0.5, epochs=1, seconds=0.1,
)  # fmt: skip
# Says its words and the database on standard error, and leaves at the end of its input.
SENDER = (
    "import os, sys; "
    "print(sys.argv[1:], os.environ['LRSEARCH_STORAGE'], file=sys.stderr, flush=True); "
    "sys.stdin.read()"
)


@pytest.fixture
def said(monkeypatch):
    program(monkeypatch, SENDER)
    return []


def program(monkeypatch, code):
    monkeypatch.setattr(beside, "_PROGRAM", (sys.executable, "-c", code))


def send(said, *messages, places=("tensorboard=runs",)):
    with beside.send_beside(places, lambda: URL, said.append) as listen:
        for each in messages:
            listen(Event(message=each))
            said.append(type(each).__name__)
    return said


def test_it_starts_once_and_its_command_line_holds_no_password(said):
    send(said, BEGUN, ENDED, ENDED)
    words = [each for each in said if each.startswith("[")]
    arguments = ["log", "--follow", "--to", "tensorboard=runs", "--", "flowers"]
    assert words == [f"{arguments} {URL}"], "once, with the URL in its environment alone"


def test_before_a_training_has_ended_no_library_of_a_tracker_is_loaded(said, monkeypatch):
    started = []
    monkeypatch.setattr(beside.subprocess, "Popen", lambda *words, **_: started.append(words))
    with pytest.raises(KeyboardInterrupt):
        interrupted(said)
    assert not started


def interrupted(said):
    with beside.send_beside(["tensorboard=runs"], lambda: URL, said.append) as listen:
        listen(Event(message=BEGUN))
        raise KeyboardInterrupt


def test_a_study_that_was_over_already_is_sent_at_the_end(said):
    assert send(said, BEGUN)[-1].startswith("['log'")


def test_nothing_is_started_without_a_place_or_a_study(said):
    assert send(said, BEGUN, ENDED, places=()) == ["StudyBegun", "TrialEnded"]
    assert send([]) == []


def test_from_the_workers_end_on_the_last_runs_are_sent_while_the_caller_goes_on(said, monkeypatch):
    program(monkeypatch, "import sys; sys.stdin.read(); print('left', file=sys.stderr)")
    left = threading.Event()

    def say(line):
        said.append(line)
        left.set()

    with beside.send_beside(["tensorboard=runs"], lambda: URL, say) as listen:
        for each in (BEGUN, ENDED, PoolEnded(reason="")):
            listen(Event(message=each))
        assert left.wait(60), "the block still goes on, and the process has left already"
    assert said == ["left"]


def test_one_that_hangs_is_killed_and_what_sends_the_rest_is_said(said, monkeypatch):
    program(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(beside, "LAST_SECONDS", 0.2)
    *_, last = send(said, BEGUN, ENDED)
    assert "takes longer than 0.2 s" in last
    assert last.endswith("lrsearch log flowers --to tensorboard=runs")


def test_one_that_cannot_start_costs_the_search_nothing(said, monkeypatch):
    monkeypatch.setattr(beside, "_PROGRAM", ("/no/such/program",))
    *_, last = send(said, BEGUN, ENDED)
    assert "No such file" in "".join(said)
    assert last == "TrialEnded"


def test_a_place_that_is_none_is_refused_before_anything_begins(said):
    with pytest.raises(InvalidValue, match="one of tensorboard=a folder"):
        send(said, places=("neptune=x",))


def test_it_gives_way_to_trainings():
    code = "from lrsearch.trackers.beside import give_way; import os; give_way(); print(os.nice(0))"
    read, write = os.pipe()
    process = beside.subprocess.Popen([sys.executable, "-c", code], stdout=write)
    os.close(write)
    assert process.wait() == 0
    with os.fdopen(read) as output:
        assert int(output.read()) == min(19, os.nice(0) + beside.NICE)
