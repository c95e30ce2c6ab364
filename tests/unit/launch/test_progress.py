"""Progress: what the events tell, in numbers and in lines."""

import io
import json

from rich.console import Console

from lrsearch.launch.events import Event
from lrsearch.launch.live import draw
from lrsearch.launch.picture import Picture, duration
from lrsearch.launch.progress import watching

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


def test_the_best_and_yours_follow_the_direction():
    picture = picture_of(*begun(), ended(0, 0.8, origin="yours"), ended(1, 0.9), ended(2, 0.7))
    assert (picture.best.number, picture.yours.number, picture.done) == (1, 0, 3)


def test_only_complete_trials_are_results():
    picture = picture_of(*begun(), ended(0, 0.99, status="diverged"), ended(1, None, status="failed"), ended(2, 0.5))
    assert picture.best.number == 2
    assert picture.done == 3


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
        Event(name="trial.started", slot="cpu:1", facts=started),
        Event(name="trial.progress", slot="cpu:1", facts=progress),
    )
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(draw(picture, 30.0))
    text = console.export_text()
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


def test_a_trial_that_goes_on_from_a_checkpoint_says_from_where():
    facts = {"trial_id": 4, "attempt": 2, "number": 3, "kind": "search", "origin": "sampled", "label": "trial 3", "short": "adam"}
    began = Event(name="trial.started", slot="cpu:0", facts=facts | {"resumed_from": 2, "resumed_update": 140}, at=11.0)
    anew = Event(name="trial.started", slot="cpu:0", facts=facts | {"resumed_from": 0, "resumed_update": 0}, at=11.0)
    assert [line for line in lines_of(*begun(), began, anew) if "trial 3" in line] == [
        "cpu:0: trial 3 goes on from epoch 2, update 140: adam"
    ]
