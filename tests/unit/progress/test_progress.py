"""Progress: what the events tell, in numbers and in lines."""

import errno
import io
import json
import time
from dataclasses import replace

import pytest
from rich.console import Console

from lrsearch.errors import Interrupted
from lrsearch.events import Event
from lrsearch.forecast import Forecast, TimedSteps
from lrsearch.messages import (
    Note,
    Output,
    PoolStarted,
    Result,
    RetestsPlanned,
    StudyAnswer,
    StudyBegun,
    StudyBill,
    StudyCounts,
    TrialEnded,
    TrialProgress,
    TrialStarted,
    WorkerDied,
)
from lrsearch.progress.lines import Lines
from lrsearch.progress.listeners import broadcast
from lrsearch.progress.live import draw
from lrsearch.progress.state import ProgressState
from lrsearch.progress.watching import show_progress
from lrsearch.report.bill import duration
from lrsearch.values import Direction, Kind, Origin, Setting, Status, TrialState

SETTING = Setting(
    optimizer="adam", learning_rate=1e-3, schedule="constant", batch_size=None
)


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    """The local clock of every bill."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


STUDY = StudyBegun(
    study="digits",
    objective="val_accuracy",
    direction=Direction.MAXIMIZE,
    trials=10,
    trainings=None,
    done=0,
    deadline=None,
    retest=0,
    retested=4,
    best=None,
    yours=None,
)


def begun(**facts):
    return [
        Event(message=PoolStarted(slots=("cpu:0", "cpu:1")), at=0.0),
        Event(message=replace(STUDY, **facts), at=10.0),
    ]


def names(number, kind=Kind.SEARCH, origin=Origin.SAMPLED):
    label = f"trial {number}" if kind is Kind.SEARCH else f"retest 1 of trial {number}"
    return {
        "trial_id": number + 1,
        "attempt": 1,
        "number": number,
        "kind": kind,
        "origin": origin,
        "label": label,
    }


def ended(
    number,
    value=0.9,
    *,
    status=Status.COMPLETE,
    seconds=12.0,
    at=22.0,
    kind=Kind.SEARCH,
    origin=Origin.SAMPLED,
    reason="",
    short="adam 1.0e-03 constant",
):
    message = TrialEnded(
        **names(number, kind, origin),
        short=short,
        status=status,
        value=value,
        epochs=3,
        seconds=seconds,
        reason=reason,
    )
    return Event(message=message, slot="cpu:0", at=at)


def started(number, *, slot="cpu:0", at=11.0, short="adam 1.0e-03 constant", **resumed):
    message = TrialStarted(**names(number), setting=SETTING, short=short, **resumed)
    return Event(message=message, slot=slot, at=at)


def progressed(number, *, slot="cpu:0", epoch=3, epochs=20, value=0.95):
    message = TrialProgress(
        trial_id=number + 1,
        attempt=1,
        epoch=epoch,
        epochs=epochs,
        step=10 * epoch,
        total_steps=10 * epochs,
        rate=1e-3,
        seconds=2.0,
        value=value,
    )
    return Event(message=message, slot=slot)


def died(
    *, reason="", tail="", retry_seconds=1.0, ending="signal SIGKILL", slot="cpu:1"
):
    message = WorkerDied(
        ending=ending, reason=reason, tail=tail, retry_seconds=retry_seconds
    )
    return Event(message=message, slot=slot)


def result(number, value, *, short="adam 1.0e-03 constant", **more):
    return Result(number=number, value=value, short=short, **more)


def answered(*, best=None, yours=None, seconds_left=None, at=20.0):
    """What the ledger says of the whole study."""
    return Event(
        message=StudyAnswer(best=best, yours=yours, seconds_left=seconds_left), at=at
    )


def state_of(*events):
    state = ProgressState()
    for event in events:
        state.handle(event)
    return state


def lines_of(*events, **options):
    stream = io.StringIO()
    with show_progress(stream=stream, **options) as listen:
        for event in events:
            listen(event)
    return stream.getvalue().splitlines()


def test_the_best_and_yours_are_the_studys_and_not_this_process_own():
    there = answered(best=result(7, 0.95), yours=result(0, 0.8))
    state = state_of(*begun(), there, ended(1, 0.99))
    assert (state.best.number, state.best.value, state.yours.number) == (7, 0.95, 0)


def test_the_trial_that_the_study_then_calls_best_is_marked():
    lines = lines_of(
        *begun(), answered(best=result(1, 0.9)), ended(1, 0.9), ended(2, 0.99)
    )
    assert [line.endswith("best so far") for line in lines if line.startswith("[")] == [
        True,
        False,
    ]


def test_the_time_left_is_the_studys_whoever_trains():
    state = state_of(
        *begun(), ended(0, seconds=60.0), answered(seconds_left=40.0, at=30.0)
    )
    assert (
        state.seconds_left(30.0),
        state.seconds_left(35.0),
        state.seconds_left(99.0),
    ) == (
        40.0,
        35.0,
        0.0,
    )


def view_of(state, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(state, 30.0))
    return console.export_text()


def test_the_view_says_what_the_best_rests_on_also_on_a_narrow_terminal():
    searching = view_of(
        state_of(
            *begun(),
            answered(
                best=result(4, 0.985), yours=result(0, None, state=TrialState.DIVERGED)
            ),
        ),
        80,
    )
    assert "best so far 0.985" in searching
    assert "trial 4, 1 training" in searching
    assert "yours       diverged" in searching
    long = "adamw 1.0e-3 level, then down, 12 % warm-up " * 2
    retested = result(3, 0.98, short=long, seeds=2, evidence="2 seeds, 1 diverged")
    after = view_of(state_of(*begun(), answered(best=retested)), 80)
    assert "best so far" not in after
    assert "trial 3, 2 seeds, 1 diverged" in after
    assert all(len(line) <= 80 for line in after.splitlines())
    lost = "1 training; retests: 2 diverged, 1 failed"
    assert f"trial 333, {lost}" in view_of(
        state_of(*begun(), answered(best=replace(retested, number=333, evidence=lost))),
        80,
    )


def test_what_is_put_back_is_not_done():
    assert state_of(*begun(), ended(0, None, status=Status.INTERRUPTED)).done == 0


def test_after_the_first_trial_the_rest_is_estimated():
    lines = lines_of(*begun(), ended(0), ended(1))
    bill = "10 trials, 1 done, about 54 s on 2 workers, done at 00:01; 12 s a training"
    assert [line for line in lines if "a training" in line] == [bill]


def test_retests_are_part_of_the_estimate():
    told = begun(retest=3)
    state = state_of(*told, ended(0))
    assert state.left == 9 + 12
    assert state.seconds_left(22.0) == 21 * 12 / 2


def test_later_the_pace_tells_and_a_deadline_caps():
    events = [ended(n, at=10.0 + 3 * n) for n in range(5)]
    assert state_of(*begun(), *events).seconds_left(30.0) == 5 * 20 / 5
    told = begun(deadline=33.0)
    assert state_of(*told, *events).seconds_left(30.0) == 3.0


def test_the_pace_counts_from_the_first_trial_and_not_from_what_is_loaded_before():
    first = started(0, at=20.0)
    events = [ended(n, at=20.0 + 2 * n) for n in range(5)]
    assert state_of(*begun(), first, *events).seconds_left(30.0) == 5 * 10 / 5


def test_one_line_a_finished_trial_when_piped():
    lines = lines_of(
        *begun(),
        ended(0, origin=Origin.YOURS),
        ended(1, None, status=Status.FAILED, reason="ValueError: no"),
    )
    assert lines[0] == "study digits: 10 trials, 2 slots, by val_accuracy"
    assert lines[1].startswith("[1/10] trial 0   0.9      yours: adam 1.0e-03 constant")
    assert lines[-1].endswith("(ValueError: no)")


def counts(*ended, retests=(), trials=10, deadline=None):
    message = StudyCounts(
        ended=tuple(f"trial {number}" for number in ended),
        retests_ended=tuple(f"retest 1 of trial {number}" for number in retests),
        retests=12,
        running=0,
        waiting=0,
        failed=0,
        trials=trials,
        trainings=None,
        deadline=deadline,
    )
    return Event(message=message)


def prefixes(lines):
    return [line.split()[0] for line in lines if line.startswith("[")]


def test_a_trial_that_the_ledger_told_of_before_its_own_event_is_counted_once():
    events = [
        *begun(),
        counts(),
        started(0),
        started(1),
        counts(0, 1),
        ended(0),
        ended(1),
        counts(),
        started(2),
        ended(2),
    ]
    assert prefixes(lines_of(*events)) == ["[1/10]", "[2/10]", "[3/10]"]


def test_a_trial_that_began_and_ended_before_its_events_came_is_counted_once():
    events = [
        *begun(),
        counts(),
        counts(0, 1),
        started(0),
        ended(0),
        started(1),
        ended(1),
        counts(),
        ended(2),
    ]
    assert prefixes(lines_of(*events)) == ["[1/10]", "[2/10]", "[3/10]"]


def test_trials_of_other_machines_count_and_so_do_those_that_were_done_before():
    events = [*begun(), counts(0, 1, 2), counts(3, 4), counts(), ended(5)]
    assert prefixes(lines_of(*events)) == ["[6/10]"]


def test_a_budget_that_is_raised_meanwhile_is_counted_against():
    events = [*begun(), counts(0, 1, trials=3), ended(2), counts(2, trials=5), ended(3)]
    assert prefixes(lines_of(*events)) == ["[3/3]", "[4/5]"]


def test_a_trial_whose_worker_died_is_counted_by_the_ledger():
    state = state_of(*begun(), counts(), started(0), counts(0), counts())
    assert state.done == 0
    state.handle(died(slot="cpu:0"))
    assert state.done == 1


def test_retests_are_counted_once_too():
    state = state_of(
        *begun(),
        counts(retests=(0,)),
        ended(0, kind=Kind.RETEST),
        ended(1, kind=Kind.RETEST),
    )
    assert (state.retests_done, state.retests_planned) == (2, 12)


@pytest.mark.parametrize(
    ("trials", "seeds", "retests", "left_out", "line"),
    [
        ((3, 0), 3, 6, 0, "2 settings are retested on 3 fresh seeds each"),
        ((3, 0), 3, 7, 0, "2 settings are retested on 3 fresh seeds each or more, 7 in all"),
        ((0,), 1, 1, 0, "1 setting is retested on 1 fresh seed each"),
        (
            (3, 0), 3, 6, 6,
            "2 settings are retested on 3 fresh seeds each; 6 more retests would end too late",
        ),
    ],
)  # fmt: skip
def test_what_is_retested_is_said_in_whole_words(
    trials, seeds, retests, left_out, line
):
    planned = RetestsPlanned(
        trials=trials, seeds=seeds, retests=retests, left_out=left_out
    )
    assert lines_of(Event(message=planned)) == [f"the search is over; {line}"]


def test_what_fits_into_the_time_is_said_after_the_first_trial_and_again_when_the_pace_is_much_another():
    told = begun(deadline=130.0, trials=None, retest=3)
    slow = [ended(0, at=30.0, seconds=20.0)]
    fast = [ended(number, at=30.0 + number, seconds=2.0) for number in range(1, 9)]
    lines = [line for line in lines_of(*told, *slow, *fast) if "a training" in line]
    into = "fit into the 2 minutes that are left on 2 workers, done at 00:02"
    assert lines == [
        f"about 10 retests {into}; 20 s a training",
        f"about 4 more trials + 12 retests = 16 trainings {into}; 6.5 s a training",
    ]


def test_a_budget_that_fits_into_the_time_is_estimated_as_ever():
    told = begun(deadline=1000.0)
    bill = "10 trials, 1 done, about 54 s on 2 workers, done at 00:01; 12 s a training"
    assert lines_of(*told, ended(0))[-1] == bill


def billed(seconds_left, *, at=15.0):
    each = (seconds_left or 0.0) / 5 - 8.0
    timed = TimedSteps(seconds=each, yours_seconds=each, tracing=10.0, graphs=4)
    made = Forecast(timed=timed, trainings=10, yours=0, workers=2, waits=False)
    return Event(message=StudyBill(forecast=made if seconds_left else None), at=at)


@pytest.mark.parametrize(
    ("facts", "seconds_left", "line"),
    [
        ({"retest": 3}, 480.0, "10 trials + 12 retests = 22 trainings, about 8 minutes on 2 workers, done at 00:08"),
        ({"retest": 3, "trainings": 14}, 80.0, "10 trials + 4 retests = 14 trainings, about 80 s on 2 workers, done at 00:01"),
        ({}, None, "10 trials, on 2 workers; the first epochs show how long they take: a step timed ahead would cost a training's start"),
        (
            {"trials": None, "deadline": 615.0, "retest": 3}, None,
            "as many trials as fit into the 10 minutes that are left on 2 workers, done at 00:10, retests included",
        ),
        (
            {"deadline": 615.0}, 700.0,
            "as many trials as fit into the 10 minutes that are left on 2 workers, done at 00:10, retests included",
        ),
    ],
)  # fmt: skip
def test_the_bill_is_said_before_the_first_training(facts, seconds_left, line):
    assert lines_of(*begun(**facts), billed(seconds_left))[-1] == line


def test_timed_steps_tell_the_shape_of_the_rest_and_what_has_ended_the_pace():
    told = [*begun(), billed(100.0), answered(seconds_left=400.0, at=16.0)]
    assert state_of(*told).seconds_left(20.0) == 95.0
    # Five trainings of 12 s and four traces of 10 s each worker: 44 s for the first
    # four trainings, which took twice as long.
    slow = [ended(number, seconds=1.0, at=103.0) for number in range(4)]
    assert state_of(*told, *slow).seconds_left(103.0) == (100 - 44) * 2
    assert (
        state_of(
            *told, *(ended(number, seconds=1.0) for number in range(16))
        ).seconds_left(20.0)
        == 396.0
    )


def test_the_bill_is_said_again_when_two_trainings_of_each_worker_have_ended_or_a_long_one():
    short = [ended(number, seconds=1.0, at=59.0) for number in range(5)]
    lines = lines_of(*begun(), billed(100.0), *short)
    assert [line.split("; ")[1] for line in lines if "a training" in line] == [
        "1.0 s a training"
    ]
    assert (
        "10 trials, 4 done, about 56 s on 2 workers, done at 00:01; 1.0 s a training"
        in lines
    )
    assert (
        "30 s a training"
        in lines_of(*begun(), billed(100.0), ended(0, seconds=30.0))[-1]
    )


def test_a_study_with_nothing_left_has_no_bill():
    done = counts(*range(10), retests=range(12))
    assert len(lines_of(*begun(), done, counts(), billed(None))) == 1


class Pipe(io.StringIO):
    """A stream whose reader leaves after so many lines."""

    def __init__(self, lines):
        super().__init__()
        self.left = lines

    def flush(self):
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_reader_that_leaves_ends_the_lines_and_the_log_file_says_so_once(tmp_path):
    path = tmp_path / "log.jsonl"
    with show_progress(stream=Pipe(1), log_file=path) as listen:
        for event in (*begun(), ended(0), ended(1), ended(2)):
            listen(event)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["event"] for each in events].count("trial.ended") == 3
    notes = [each["text"] for each in events if each["event"] == "note"]
    assert notes == [
        "progress on the terminal ends here (Broken pipe); training goes on"
    ]


def test_a_full_disk_under_the_log_file_is_said_once_on_the_terminal():
    lines = lines_of(*begun(), ended(0), ended(1), log_file="/dev/full")
    assert (
        lines[0] == "the log file ends here (No space left on device); training goes on"
    )
    assert prefixes(lines) == ["[1/10]", "[2/10]"]


def test_two_listeners_that_fail_at_once_leave_the_third():
    def failing(_event):
        raise OSError(errno.ENOSPC, "No space left on device")

    heard = []
    listen = broadcast(
        {"the log file": failing, "progress": failing, "the third": heard.append}
    )
    listen(ended(0))
    listen(ended(1))
    assert [getattr(event.message, "text", event.message.event) for event in heard] == [
        "progress ends here (No space left on device); training goes on",
        "the log file ends here (No space left on device); training goes on",
        "trial.ended",
        "trial.ended",
    ]


def test_a_second_signal_that_comes_while_a_line_is_printed_is_no_failed_listener():
    def listener(_event):
        raise Interrupted(2, "ended at once")

    with pytest.raises(Interrupted):
        broadcast({"progress": listener})(ended(0))


def test_quiet_says_nothing():
    assert lines_of(*begun(), ended(0), quiet=True) == []


def test_what_several_workers_find_is_said_once_and_what_one_repeats_each_time():
    found = [
        ("cpu:0", "grows"),
        ("cpu:1", "grows"),
        ("cpu:0", "waits"),
        ("cpu:0", "waits"),
    ]
    events = (Event(message=Note(text=text), slot=slot) for slot, text in found)
    assert lines_of(*events) == ["grows", "waits", "waits"]


def test_verbose_shows_what_workers_print():
    printed = Event(message=Output(text="hello"), slot="cpu:0")
    assert lines_of(printed) == []
    assert lines_of(printed, verbose=True) == ["cpu:0| hello"]


def test_the_log_file_gets_json_lines_even_when_quiet(tmp_path):
    path = tmp_path / "log.jsonl"
    lines_of(*begun(), ended(0), quiet=True, log_file=path)
    lines_of(ended(1), quiet=True, log_file=path)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["event"] for each in events] == [
        "pool.started",
        "study",
        "trial.ended",
        "trial.ended",
    ]
    assert events[2]["slot"] == "cpu:0"


def test_a_worker_that_died_is_told_with_its_last_line():
    assert lines_of(died(tail="one\ntwo", retry_seconds=2.0)) == [
        "worker cpu:1 died (signal SIGKILL); another starts in 2.0 s",
        "two",
    ]


def test_the_error_of_a_worker_that_died_comes_before_what_libraries_print():
    facts = {"ending": "exit code 1", "reason": "KeyError: 'x'", "tail": "I0000 no GPU"}
    assert lines_of(died(**facts, retry_seconds=None))[1:] == [
        "KeyError: 'x'",
        "I0000 no GPU",
    ]
    assert lines_of(died(**facts, retry_seconds=1.0))[1:] == ["KeyError: 'x'"]


def test_the_live_view_shows_budget_workers_best_and_yours():
    state = state_of(
        *begun(),
        ended(0, 0.9, origin=Origin.YOURS),
        answered(best=result(0, 0.9), yours=result(0, 0.9)),
        started(1, slot="cpu:1", short="lion 2.1e-04 linear"),
        progressed(1, slot="cpu:1"),
    )
    text = view_of(state, 120)
    for part in (
        "digits",
        "1 of 10 trials",
        "about 54 s left",
        "lion 2.1e-04 linear",
        "epoch 3/20",
        "val_accuracy 0.95",
        "best so far",
        "yours",
    ):
        assert part in text


def test_a_worker_that_trains_many_trials_at_once_shows_them_and_the_estimate_counts_them():
    begins = [started(each, short=f"rate {each}") for each in range(4)]
    state = state_of(*begun(), *begins, progressed(1, epoch=1, epochs=9, value=0.5))
    assert "4 at once, trial 1" in view_of(state, 120)
    state.handle(ended(0))
    assert state.rows["cpu:0"].state == "training"
    assert state.seconds_left(22.0) == 9 * 12 / 4
    lines = lines_of(*begun(), *begins, ended(0))
    bill = "10 trials, 1 done, about 27 s on 2 workers, 4 at once, done at 00:00; 12 s a training"
    assert lines[-1] == bill


def test_before_the_study_is_known_the_view_says_what_it_waits_for():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(draw(ProgressState(), 0.0))
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
    short = "adamw 2.1e-4 level, then down, 6.9 % warm-up, to 3.7 %, decay start 0.897; units 36"
    lost = "1 training; retests: 2 diverged, 1 failed"
    state = state_of(
        *begun(study=name, trials=40, retest=3),
        *(ended(number + 20) for number in range(14)),
        started(14, slot="cpu:1", short=short, resumed_from=5),
        progressed(14, slot="cpu:1", epoch=7),
        answered(
            best=result(7, 0.985, short=short, evidence=lost),
            yours=result(0, 0.9),
            seconds_left=250.0,
            at=30.0,
        ),
    )
    text = view_of(state, width)
    assert all(len(line) <= width for line in text.splitlines())
    for part in (
        "14 of 40 trials",
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
    lines = Lines(state_of(*begun()), said.append, terse=True, width=lambda: 60)
    lines(ended(1, short="adamw 2.1e-4 level, then down, 6.9 % warm-up, to 3.7 %"))
    lines(ended(2, None, status=Status.FAILED, reason="ValueError: " + "x" * 90))
    assert said[0] == "[0/10] trial 1   0.9      adamw 2.1e-4 level, then...  12 s"
    assert said[-1].endswith("x)")


def test_a_trial_that_goes_on_from_a_checkpoint_says_from_where():
    begins = (
        started(3, resumed_from=2, resumed_update=140, short="adam"),
        started(3, short="adam"),
    )
    assert [line for line in lines_of(*begun(), *begins) if "trial 3" in line] == [
        "cpu:0: trial 3 goes on from epoch 2, update 140: adam"
    ]
