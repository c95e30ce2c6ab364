"""The process beside a search: when it starts, what it is told, how it ends, what it says."""

import sys
import threading

import pytest

from lrsearch.errors import InvalidValue
from lrsearch.events import Event
from lrsearch.messages import PoolEnded, StudyBegun
from lrsearch.trackers import beside
from lrsearch.values import Direction

URL = "postgresql+psycopg://me:secret@host/db"
BEGUN = StudyBegun(
    study="flowers", objective="val_loss", direction=Direction.MINIMIZE, trials=3, trainings=None,
    done=0, deadline=None, retest=0, retested=0, best=None, yours=None,
)  # fmt: skip
# Says its words, the database and its input on standard error, and leaves at the
# input's end.
SENDER = (
    "import os, sys; "
    "print(sys.argv[1:], os.environ['LRSEARCH_STORAGE'], [*sys.stdin], file=sys.stderr, flush=True)"
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


def test_it_hears_of_one_study_once_and_its_command_line_holds_no_password(said):
    send(said, BEGUN, BEGUN)
    words = [each for each in said if each.startswith("[")]
    assert words == [f"['tensorboard=runs'] {URL} ['flowers\\n']"], "the URL is no word"


def test_it_starts_before_the_search_so_that_its_libraries_load_meanwhile(
    said, monkeypatch
):
    started = threading.Event()
    program(
        monkeypatch,
        "import sys; print('loads', file=sys.stderr, flush=True); sys.stdin.read()",
    )
    with beside.send_beside(
        ["tensorboard=runs"], lambda: URL, lambda _: started.set()
    ) as listen:
        assert started.wait(60)
        listen(Event(message=BEGUN))


def test_a_search_that_ends_before_there_is_a_study_does_not_wait_for_it(
    said, monkeypatch
):
    program(monkeypatch, "import time; time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        interrupted(said)
    assert not said


def interrupted(said):
    with beside.send_beside(["tensorboard=runs"], lambda: URL, said.append):
        raise KeyboardInterrupt


def test_nothing_is_sent_without_a_place_or_a_study(said):
    assert send(said, BEGUN, places=()) == ["StudyBegun"]
    assert send([]) == []


def test_from_the_workers_end_on_the_last_runs_are_sent_while_the_caller_goes_on(
    said, monkeypatch
):
    program(monkeypatch, "import sys; sys.stdin.read(); print('left', file=sys.stderr)")
    left = threading.Event()

    def say(line):
        said.append(line)
        left.set()

    with beside.send_beside(["tensorboard=runs"], lambda: URL, say) as listen:
        for each in (BEGUN, PoolEnded(reason="")):
            listen(Event(message=each))
        assert left.wait(60), (
            "the block still goes on, and the process has left already"
        )
    assert said == ["left"]


def test_one_that_hangs_is_killed_and_what_sends_the_rest_is_said(said, monkeypatch):
    program(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(beside, "LAST_SECONDS", 0.2)
    *_, last = send(said, BEGUN)
    assert "takes longer than 0.2 s" in last
    assert last.endswith("lrsearch log flowers --to tensorboard=runs")


def test_one_that_cannot_start_costs_the_search_nothing(said, monkeypatch):
    monkeypatch.setattr(beside, "_PROGRAM", ("/no/such/program",))
    *_, last = send(said, BEGUN)
    assert "No such file" in "".join(said)
    assert last == "StudyBegun"


def test_a_place_that_is_none_is_refused_before_anything_begins(said):
    with pytest.raises(InvalidValue, match="one of tensorboard=a folder"):
        send(said, places=("neptune=x",))
