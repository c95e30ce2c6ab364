"""Progress: what the events tell, in numbers and in lines."""

import io
import json

import pytest
from rich.console import Console

from lrsearch.launch.events import Event
from lrsearch.launch.live import draw
from lrsearch.launch.picture import Picture, duration
from lrsearch.launch.progress import Lines, watching

STUDY = {
    "study": "digits",
    "objective": "val_accuracy",
    "direction": "maximize",
    "trials": 10,
    "deadline": None,
    "retest": 0,
    "best": None,
    "yours": None,
}


def begun():
    return [
        Event(name="pool.started", facts={"slots": ["cpu:0", "cpu:1"]}, at=0.0),
        Event(name="study", facts=STUDY, at=10.0),
    ]


def ended(number, value=0.9, *, status="complete", seconds=12.0, at=22.0, kind="search", origin="sampled", reason=""):
    facts = {
        "trial_id": number + 1, "attempt": 1, "number": number, "kind": kind, "origin": origin, "label": f"trial {number}",
        "short": "adam 1.0e-03 constant", "status": status, "value": value, "epochs": 3, "seconds": seconds, "reason": reason,
        "notes": [],
    }  # fmt: skip
    return Event(name="trial.ended", slot="cpu:0", facts=facts, at=at)


def result(number, value, *, state="complete", seeds=0, evidence="1 training"):
    short = "adam 1.0e-03 constant"
    return {"number": number, "value": value, "short": short, "state": state, "seeds": seeds, "evidence": evidence}


def counted(*, done=0, best=None, yours=None, seconds_left=None, at=20.0):
    """What the ledger says of the whole study."""
    facts = {"done": done, "running": 1, "waiting": 0, "failed": 0, "best": best, "yours": yours, "seconds_left": seconds_left}
    return Event(name="counts", facts=facts, at=at)


def picture_of(*events):
    picture = Picture()
    for event in events:
        picture.take(event)
    return picture


def lines_of(*events, **options):
    stream = io.StringIO()
    with watching(stream=stream, **options) as listen:
        for event in events:
            listen(event)
    return stream.getvalue().splitlines()


def test_the_best_and_yours_are_the_studys_and_not_this_process_own():
    there = counted(done=9, best=result(7, 0.95), yours=result(0, 0.8))
    picture = picture_of(*begun(), there, ended(1, 0.99))
    assert (picture.best.number, picture.best.value, picture.yours.number) == (7, 0.95, 0)


def test_the_trial_that_the_study_then_calls_best_is_marked():
    lines = lines_of(*begun(), counted(best=result(1, 0.9)), ended(1, 0.9), ended(2, 0.99))
    assert [line.endswith("best so far") for line in lines if line.startswith("[")] == [True, False]


def test_the_time_left_is_the_studys_whoever_trains():
    picture = picture_of(*begun(), ended(0, seconds=60.0), counted(done=1, seconds_left=40.0, at=30.0))
    assert (picture.seconds_left(30.0), picture.seconds_left(35.0), picture.seconds_left(99.0)) == (40.0, 35.0, 0.0)


def view_of(picture, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(picture, 30.0))
    return console.export_text()


def test_the_view_says_what_the_best_rests_on_also_on_a_narrow_terminal():
    searching = view_of(picture_of(*begun(), counted(best=result(4, 0.985), yours=result(0, None, state="diverged"))), 80)
    assert "best so far 0.985" in searching
    assert "trial 4, 1 training" in searching
    assert "yours       diverged" in searching
    retested = result(3, 0.98, seeds=2, evidence="2 seeds, 1 diverged") | {
        "short": "adamw 1.0e-3 level, then down, 12 % warm-up " * 2
    }
    after = view_of(picture_of(*begun(), counted(best=retested)), 80)
    assert "best so far" not in after
    assert "trial 3, 2 seeds, 1 diverged" in after
    assert all(len(line) <= 80 for line in after.splitlines())
    lost = "1 training; retests: 2 diverged, 1 failed"
    assert f"trial 333, {lost}" in view_of(picture_of(*begun(), counted(best=retested | {"number": 333, "evidence": lost})), 80)


def test_what_is_put_back_is_not_done():
    assert picture_of(*begun(), ended(0, None, status="interrupted")).done == 0


def test_after_the_first_trial_the_rest_is_estimated():
    lines = lines_of(*begun(), ended(0), ended(1))
    assert [line for line in lines if "a trial," in line] == ["12 s a trial, 2 slots: about 54 s"]


def test_retests_are_part_of_the_estimate():
    study = Event(name="study", facts=STUDY | {"retest": 3}, at=10.0)
    picture = picture_of(begun()[0], study, ended(0))
    assert picture.left == 9 + 12
    assert picture.seconds_left(22.0) == 21 * 12 / 2


def test_later_the_pace_tells_and_a_deadline_caps():
    events = [ended(n, at=10.0 + 3 * n) for n in range(5)]
    assert picture_of(*begun(), *events).seconds_left(30.0) == 5 * 20 / 5
    study = Event(name="study", facts=STUDY | {"deadline": 33.0}, at=10.0)
    assert picture_of(begun()[0], study, *events).seconds_left(30.0) == 3.0


def test_one_line_a_finished_trial_when_piped():
    lines = lines_of(*begun(), ended(0, origin="yours"), ended(1, None, status="failed", reason="ValueError: no"))
    assert lines[0] == "study digits: 10 trials, 2 slots, by val_accuracy"
    assert lines[1].startswith("[1/10] trial 0   0.9      yours: adam 1.0e-03 constant")
    assert lines[-1].endswith("(ValueError: no)")


def test_quiet_says_nothing():
    assert lines_of(*begun(), ended(0), quiet=True) == []


def test_verbose_shows_what_workers_print():
    printed = Event(name="output", slot="cpu:0", facts={"text": "hello"})
    assert lines_of(printed) == []
    assert lines_of(printed, verbose=True) == ["cpu:0| hello"]


def test_the_log_file_gets_json_lines_even_when_quiet(tmp_path):
    path = tmp_path / "log.jsonl"
    lines_of(*begun(), ended(0), quiet=True, log_file=path)
    lines_of(ended(1), quiet=True, log_file=path)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["event"] for each in events] == ["pool.started", "study", "trial.ended", "trial.ended"]
    assert events[2]["slot"] == "cpu:0"


def test_a_worker_that_died_is_told_with_its_last_line():
    facts = {"ending": "signal SIGKILL", "tail": "one\ntwo", "retry_seconds": 2.0}
    assert lines_of(Event(name="worker.died", slot="cpu:1", facts=facts)) == [
        "worker cpu:1 died (signal SIGKILL); another starts in 2.0 s",
        "two",
    ]


def test_the_live_view_shows_budget_workers_best_and_yours():
    progress = {
        "trial_id": 2,
        "attempt": 1,
        "epoch": 3,
        "epochs": 20,
        "step": 30,
        "total_steps": 200,
        "rate": 1e-3,
        "seconds": 2.0,
        "value": 0.95,
    }
    started = {"trial_id": 2, "label": "trial 1", "short": "lion 2.1e-04 linear"}
    picture = picture_of(
        *begun(),
        ended(0, 0.9, origin="yours"),
        counted(done=1, best=result(0, 0.9), yours=result(0, 0.9)),
        Event(name="trial.started", slot="cpu:1", facts=started),
        Event(name="trial.progress", slot="cpu:1", facts=progress),
    )
    text = view_of(picture, 120)
    for part in (
        "digits",
        "1/10 trials",
        "about 54 s left",
        "lion 2.1e-04 linear",
        "epoch 3/20",
        "val_accuracy 0.95",
        "best so far",
        "yours",
    ):
        assert part in text


def test_a_worker_that_trains_many_trials_at_once_shows_them_and_the_estimate_counts_them():
    started = [
        Event(name="trial.started", slot="cpu:0", facts={"trial_id": each + 1, "label": f"trial {each}", "short": f"rate {each}"})
        for each in range(4)
    ]
    told = {"epoch": 1, "epochs": 9, "step": 1, "total_steps": 9, "rate": 0.1, "value": 0.5, "trial_id": 2}
    picture = picture_of(*begun(), *started, Event(name="trial.progress", slot="cpu:0", facts=told))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(draw(picture, 30.0))
    assert "trial 1 of 4 at once" in console.export_text()
    picture.take(ended(0))
    assert picture.rows["cpu:0"].state == "training"
    assert picture.seconds_left(22.0) == 9 * 12 / 4
    lines = lines_of(*begun(), *started, ended(0))
    assert lines[-1] == "12 s a trial, 2 slots, 4 trials at once: about 27 s"


def test_before_the_study_is_known_the_view_says_what_it_waits_for():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(draw(Picture(), 0.0))
    assert "loading TensorFlow" in console.export_text()


def test_durations_read_well():
    assert [duration(s) for s in (1.25, 12, 89, 240, 5400, 8000)] == [
        "1.2 s",
        "12 s",
        "89 s",
        "4 minutes",
        "1 h 30 min",
        "2 h 13 min",
    ]


@pytest.mark.parametrize("width", [60, 80, 150])
def test_the_live_view_fits_the_terminal_and_keeps_what_matters_most(width):
    name = "a_study_with_a_really_long_name_for_so_narrow_a_terminal"
    study = Event(name="study", facts=STUDY | {"study": name, "trials": 40, "retest": 3}, at=10.0)
    short = "adamw 2.1e-4 level, then down, 6.9 % warm-up, to 3.7 %, decay start 0.897; units 36"
    started = {"trial_id": 2, "label": "trial 14", "short": short, "resumed_from": 5}
    progress = {"trial_id": 2, "epoch": 7, "epochs": 20, "step": 70, "total_steps": 200, "rate": 1e-3, "value": 0.95}
    lost = {"evidence": "1 training; retests: 2 diverged, 1 failed", "short": short}
    picture = picture_of(
        begun()[0],
        study,
        Event(name="trial.started", slot="cpu:1", facts=started),
        Event(name="trial.progress", slot="cpu:1", facts=progress),
        counted(done=14, best=result(7, 0.985) | lost, yours=result(0, 0.9), seconds_left=250.0, at=30.0),
    )
    text = view_of(picture, width)
    assert all(len(line) <= width for line in text.splitlines())
    for part in (
        "14/40 trials",
        "about 4 minutes left",
        "trial 14 from epoch 5",
        "epoch 7/20",
        "best so far",
        "0.985",
        "a_study",
    ):
        assert part in text
    if width >= 80:
        assert "val_accuracy 0.95" in text


def test_the_line_of_a_trial_that_ended_beside_the_view_fits_the_terminal_and_a_failures_reason_is_whole():
    said = []
    lines = Lines(picture_of(*begun()), said.append, terse=True, width=lambda: 60)
    event = ended(1)
    event.facts["short"] = "adamw 2.1e-4 level, then down, 6.9 % warm-up, to 3.7 %"
    lines(event)
    lines(ended(2, None, status="failed", reason="ValueError: " + "x" * 90))
    assert said[0] == "[0/10] trial 1   0.9      adamw 2.1e-4 level, then...  12 s"
    assert said[-1].endswith("x)")
