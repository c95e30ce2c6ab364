"""Messages and commands: each goes to JSON and back, and the log's lines stay as they always were."""

import json

import pytest

from lrsearch.events import Event
from lrsearch.forecast import Forecast, TimedSteps
from lrsearch.messages import (
    Command,
    Inspection,
    Interrupt,
    Message,
    StudyBill,
    StudyInspected,
    Work,
    WorkerFailed,
)
from lrsearch.values import Direction, Setting, StudyFacts

# The log of a toy study by 0.1.0, the first line of each event; then some that it did
# not come to.
LOG = r"""
{"event": "pool.started", "at": 1795733795.19, "slots": ["cpu:0", "cpu:1"]}
{"event": "ready", "at": 1795733797.45, "slot": "cpu:0", "pid": 3061}
{"event": "output", "at": 1795733797.45, "slot": "cpu:0", "text": "this must not corrupt the pipe"}
{"event": "note", "at": 1795733799.11, "text": "2 workers of 1 thread: --workers 2"}
{"event": "study", "at": 1795733799.12, "study": "toy", "objective": "val_accuracy", "direction": "maximize", "trials": 3, "trainings": null, "done": 0, "deadline": null, "retest": 1, "retested": 4, "best": null, "yours": null}
{"event": "counts", "at": 1795733799.14, "ended": [], "retests_ended": [], "retests": 0, "running": 0, "waiting": 3, "failed": 0, "trials": 3, "trainings": null, "deadline": null}
{"event": "answer", "at": 1795733799.14, "best": null, "yours": null, "seconds_left": null}
{"event": "bill", "at": 1795733803.04, "forecast": null}
{"event": "engine.ready", "at": 1795733803.04, "slot": "cpu:0", "figures": {}}
{"event": "working", "at": 1795733803.09, "slot": "cpu:0", "worker": 1}
{"event": "trial.started", "at": 1795733803.26, "slot": "cpu:0", "trial_id": 1, "attempt": 1, "number": 0, "kind": "search", "origin": "yours", "label": "trial 0", "setting": {"optimizer": "adam", "learning_rate": 0.001, "schedule": "constant", "batch_size": null, "shape": {"warmup": 0.05}, "hyper": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07, "weight_decay": 0.0, "independent_weight_decay": 0.0}, "extra": {}}, "short": "adam 1.0e-3 constant, 5 % warm-up", "resumed_from": 0, "resumed_update": 0}
{"event": "trial.ended", "at": 1795733803.92, "slot": "cpu:0", "trial_id": 1, "attempt": 1, "number": 0, "kind": "search", "origin": "yours", "label": "trial 0", "short": "adam 1.0e-3 constant, 5 % warm-up", "status": "complete", "value": 0.675, "epochs": 2, "seconds": 0.63, "reason": "", "notes": []}
{"event": "retests.planned", "at": 1795733804.79, "slot": "cpu:0", "trials": [1, 0, 2], "seeds": 1, "retests": 3, "left_out": 0}
{"event": "done", "at": 1795733806.21, "slot": "cpu:0", "reason": "finished"}
{"event": "pool.ended", "at": 1795733806.27, "reason": ""}
{"event": "answer", "at": 3.5, "best": {"number": 1, "value": 0.9, "short": "adam", "state": "complete", "seeds": 2, "evidence": "2 seeds"}, "yours": null, "seconds_left": 4.5}
{"event": "worker.died", "at": 3.5, "slot": "cpu:1", "ending": "signal SIGKILL", "reason": "", "tail": "last", "retry_seconds": 1.0}
{"event": "stopping", "at": 3.5, "signal": 2, "seconds": 7.0}
{"event": "signalled", "at": 3.5, "slot": "cpu:0", "signal": "SIGTERM"}
{"event": "interrupted", "at": 3.5, "slot": "cpu:0", "reason": "SIGTERM"}
{"event": "left", "at": 3.5, "slot": "cpu:0"}
{"event": "broken", "at": 3.5, "slot": "cpu:0", "reason": "ValueError: no", "traceback": "Traceback"}
"""
LINES = LOG.strip().splitlines()
# what no log holds: for the parent alone, or several a second
UNLOGGED = {"facts", "error", "trial.progress"}
SETTING = Setting(
    optimizer="adam", learning_rate=0.1, schedule="constant", batch_size=None
)
FACTS = StudyFacts(
    objective="val_loss",
    direction=Direction.MINIMIZE,
    metrics=("loss",),
    epochs=3,
    accumulation=1,
    steps_per_epoch={"None": 10},
    train_examples=None,
    validation_examples=None,
    has_test=False,
    parameters=1,
    yours=SETTING,
    exact_order=True,
    fingerprint={"code.model": "1"},
    versions={"python": "3"},
    notes=("said",),
    yours_rates=(0.1,),
)


def crossed(message):
    """The message or command as the other process reads it."""
    family = Command if isinstance(message, Command) else Message
    return family.from_json(json.loads(json.dumps(message.to_json())))


@pytest.mark.parametrize(
    "line", LINES, ids=[json.loads(line)["event"] for line in LINES]
)
def test_a_line_of_an_older_log_is_read_and_written_byte_for_byte(line):
    data = json.loads(line)
    at, slot = data.pop("at"), data.pop("slot", "")
    event = Event(message=Message.from_json(data), slot=slot, at=at)
    assert json.dumps(event.to_json()) == line


def test_the_lines_cover_every_event_of_a_log():
    assert {json.loads(line)["event"] for line in LINES} == set(
        Message.kinds
    ) - UNLOGGED


def test_values_within_messages_come_back_as_themselves():
    found = Inspection(
        facts=FACTS, dimensions=({"name": "x"},), references=(SETTING,), seed=7
    )
    assert crossed(StudyInspected(inspection=found)) == StudyInspected(inspection=found)
    timed = TimedSteps(seconds=1.0, yours_seconds=2.0)
    bill = StudyBill(
        forecast=Forecast(timed=timed, trainings=4, yours=1, workers=2, waits=True)
    )
    assert crossed(bill) == bill
    failed = WorkerFailed(
        kind="X", text="no", traceback="", exit_code=2, parts={"got": None}
    )
    assert crossed(failed) == failed


@pytest.mark.parametrize("kind", Command.kinds.values(), ids=Command.kinds)
def test_every_command_comes_back_as_itself(kind):
    command = kind(study="toy") if kind is Work else kind()
    assert crossed(command) == command
    assert crossed(Interrupt(reason="SIGTERM")) == Interrupt(reason="SIGTERM")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"event": "none of ours"},
        {"event": ["done"]},
        {"event": "done"},
        {"event": "done", "reason": "", "more": 1},
        {"event": "trial.ended", "status": "none of ours"},
        {"event": "answer", "best": 3, "yours": None, "seconds_left": None},
        {"do": "quit"},
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ValueError, match=r"no \w+:|is not a valid Status"):
        Message.from_json(data)
