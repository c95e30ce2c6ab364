"""Tables and pages in terminals of several widths, of a study whose every text is long."""

import pytest
from ledger_tools import facts, plan

from lrsearch.answer import summarise
from lrsearch.report.answer_page import answer_text
from lrsearch.report.status_page import status_data, status_text
from lrsearch.report.studies import studies_table, study_rows
from lrsearch.report.trial_page import trial_data, trial_text
from lrsearch.report.trials import trials_table
from lrsearch.report.workers import worker_rows, workers_table
from lrsearch.storage import AttemptRecord, Counts
from lrsearch.values import (
    CurvePoint,
    Kind,
    Origin,
    Setting,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
    WorkerRecord,
)

WIDTHS = [60, 80, 150]
NAME = "a_study_whose_name_takes_most_of_a_terminal"
OBJECTIVE = "val_a_metric_with_a_long_name"


def setting(number):
    return Setting(
        optimizer="schedule_free_adamw",
        learning_rate=1e-3 * (number + 1),
        schedule="warmup_stable_decay",
        batch_size=32 * (1 + number % 2),
        shape={"warmup": 0.069, "final": 0.037, "decay_start": 0.897},
        hyper={"beta_1": 0.9 + number / 100},
        extra={"units": 36, "activation": "leaky_relu", "dropout": 0.256},
    )


def trial(number, **more):
    fields = {
        "id": number + 1,
        "number": number,
        "kind": Kind.SEARCH,
        "origin": Origin.YOURS if number == 0 else Origin.SAMPLED,
        "state": TrialState.COMPLETE,
        "setting": setting(number),
        "seed": number,
        "value": 0.9 - number / 100,
        "seconds": 61.0,
        "logs": {"loss": 0.5},
    }
    return TrialRecord(**(fields | more))


STUDY = StudyRecord(
    id=1,
    plan=plan(
        name=NAME,
        trials=40,
        facts=facts(objective=OBJECTIVE),
        study_file="/home/somebody/projects/vision/studies/file.py",
    ),
    state=StudyState.OPEN,
    reason="",
    trials=40,
    deadline=None,
    created_at=0.0,
    optuna_study_id=1,
)
FAILED = trial(
    4,
    state=TrialState.FAILED,
    value=None,
    reason="ValueError: the shapes (32, 10) and (32, 11) do not agree " * 3,
)
RUNNING = [
    trial(number, state=TrialState.RUNNING, value=None, attempt=2)
    for number in range(5, 25)
]
RETESTS = [
    trial(
        100 + 10 * parent + repeat,
        kind=Kind.RETEST,
        parent=parent,
        repeat=repeat,
        value=0.89 - parent / 100 - repeat / 1000,
    )
    for parent in range(4)
    for repeat in range(3)
]
RECORDS = [*(trial(number) for number in range(4)), FAILED, *RUNNING, *RETESTS]
WORKERS = [
    WorkerRecord(
        id=number, host="a-host-with-a-long-name.in.a.cluster.example", pid=12345, slot=f"gpu:{number}", versions={}, state="training",
        started_at=0.0, last_seen=99.0,
    )
    for number in range(20)
]  # fmt: skip
COUNTS = Counts(
    waiting=15, running=20, complete=4, failed=1, retests=12, retests_done=12
)
CURVE = [
    CurvePoint(
        epoch=epoch,
        step=45 * epoch,
        rate=1e-3,
        seconds=1.0,
        value=0.9,
        logs={f"val_metric_{n}": 0.5 for n in range(12)},
    )
    for epoch in range(1, 20)
]


def status(**more):
    engines = {
        "here": {
            "reason": "graph, since its callbacks act on batches, and models that draw are trained one by one "
            * 2
        }
    }
    return (
        status_data(STUDY, COUNTS, RECORDS, WORKERS, engines=engines, now=100.0) | more
    )


def shown(trial):
    attempts = [
        AttemptRecord(
            attempt=1,
            worker=1,
            status="lost",
            reason="its worker died",
            started_at=0.0,
            ended_at=1.0,
        )
    ]
    return trial_data(trial, CURVE, attempts)


PAGES = {
    "studies": lambda width: studies_table(
        study_rows([(STUDY, COUNTS)] * 2), width=width
    ),
    "status": lambda width: status_text(status(), width=width),
    "status --watch": lambda width: status_text(status(), width=width, watched=True),
    "trials": lambda width: trials_table(RECORDS, width=width),
    "show": lambda width: trial_text(FAILED, shown(FAILED), width=width),
    "workers": lambda width: workers_table(
        worker_rows(WORKERS, now=100.0), width=width
    ),
    "best": lambda width: answer_text(summarise(STUDY, RECORDS), width=width),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_every_line_fits_the_terminal(page, width):
    lines = [
        line for line in PAGES[page](width).splitlines() if "Attach some" not in line
    ]
    assert [line for line in lines if len(line) > width] == []


@pytest.mark.parametrize("page", PAGES)
def test_where_standard_output_is_no_terminal_nothing_is_left_out_or_cut(page):
    text = PAGES[page](None)
    assert "no room for" not in text
    assert "..." not in text


def test_a_narrow_terminal_names_what_it_leaves_out():
    assert "(no room for: objective, running, file)" in PAGES["studies"](60)
    assert "(no room for:" in PAGES["trials"](60)
    assert "seconds" in PAGES["trials"](60).splitlines()[-1]


def test_the_answer_names_the_trial_of_each_setting_at_every_width():
    tested = summarise(STUDY, RECORDS)
    for width in (60, 80, 150, None):
        best = next(
            line
            for line in answer_text(tested, width=width).splitlines()
            if line.startswith("  best")
        )
        assert f"  trial {tested.best.trial}" in best


def test_a_page_that_is_watched_begins_with_a_bar_and_the_time_left():
    done, left = 5 + 12, 35 + 9
    data = status(trainings_left=left, estimated_seconds_left=125.0)
    line = status_text(data, width=80, watched=True).splitlines()[1]
    assert (
        line
        == f"[{'#' * (38 * done // (done + left)):-<38}]  {done}/{done + left}  about 2 min left"
    )
    assert "about" not in status_text(data | {"workers": []}, width=80, watched=True)
    assert (
        status_text(data | {"ended": True, "trainings_left": 0}, width=80, watched=True)
        .splitlines()[1]
        .endswith("ended")
    )


def test_a_page_that_is_watched_shows_a_screenful_and_says_how_many_more_there_are():
    lines = status_text(status(), width=80, watched=True).splitlines()
    assert len(lines) < 40
    assert "running  and 8 more" in lines
    assert "worker   and 8 more" in lines
    assert len(status_text(status(), width=80).splitlines()) > 45


def test_a_study_limited_by_time_alone_has_no_bar_but_its_time():
    data = status(trainings_left=None, estimated_seconds_left=30.0)
    assert (
        status_text(data, width=80, watched=True).splitlines()[1]
        == "about 30 s left, 17 trainings done"
    )
