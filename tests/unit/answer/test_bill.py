"""How long a training takes by a few timed steps, and how the bill is worded."""

import pytest

from lrsearch.answer import Bill, timed_training
from lrsearch.answer.bill import TRIAL_SECONDS, VALIDATION
from lrsearch.forecast import Forecast
from lrsearch.report import bill_text
from lrsearch.report.bill import clock_text, plan_text

BATCHES = 20 * 45  # of the study: epochs, batches
SEEN = 1 + VALIDATION * 360 / 1437


def figures(engine="vectorized", width=16, **more):
    means = {"graph": 1.0, "2 rows": 0.8, "4 rows": 0.5, "16 rows": 0.2}
    return {
        "engine": engine,
        "width": width,
        "reason": "",
        "milliseconds": {},
        "means": means,
        "tracing_seconds": 2.0,
    } | more


@pytest.mark.parametrize(
    ("given", "at_once", "milliseconds"),
    [
        (figures(), 4, 0.5),  # as wide as the sampler lets it be, and not as it could be
        (figures(), 7, 0.5),
        (figures(), 99, 0.2),
        (figures(), 1, 1.0),
        (figures(width=4), 99, 0.5),
        (figures(engine="graph"), 4, 1.0),
        (figures(means={}, milliseconds={"graph": 3.0}), 4, 3.0),  # of a version that kept no means
    ],
)
def test_a_trainings_length_follows_from_the_stack_that_it_will_be_a_row_of(
    study, given, at_once, milliseconds
):
    timed = timed_training(study().plan.facts, given, at_once=at_once)
    assert timed.seconds == pytest.approx(BATCHES * SEEN * milliseconds / 1000 + TRIAL_SECONDS)
    assert timed.tracing == 2.0


def test_by_fit_every_training_is_traced_anew_and_whole_epochs_hold_their_validation(study):
    facts = study().plan.facts
    given = {"engine": "fit", "update_seconds": 0.01, "whole_epochs": True, "tracing_seconds": 3.0}
    whole = timed_training(facts, given, at_once=1)
    assert (whole.seconds, whole.tracing) == (
        pytest.approx(BATCHES * 0.01 + 3.0 + TRIAL_SECONDS),
        0.0,
    )
    parts = timed_training(facts, given | {"whole_epochs": False, "engine": "graph"}, at_once=1)
    assert (parts.seconds, parts.tracing) == (
        pytest.approx(BATCHES * 0.01 * SEEN + TRIAL_SECONDS),
        3.0,
    )


def test_what_was_not_timed_is_not_known(study):
    assert timed_training(study().plan.facts, {}, at_once=1) is None
    assert timed_training(study().plan.facts, figures(means={}), at_once=1) is None


def test_each_worker_traces_the_optimizers_that_it_meets():
    made = Forecast(seconds=1.0, tracing=5.0, trainings=21, optimizers=7, workers=2)
    assert made.lasts() == 11 * 1.0 + 7 * 5.0
    assert made.lasts(4) == 2 * 1.0 + 2 * 5.0
    assert made.left(done=0, elapsed=6.0) == 40.0
    assert made.left(done=4, elapsed=24.0) == (46 - 12) * 2


@pytest.mark.parametrize(
    ("bill", "text"),
    [
        (Bill(trials=1, retests=0, seconds=5.0), "1 trial, about 5.0 s on 1 worker, done at "),
        (
            Bill(trials=0, retests=6, limit_seconds=60.0),
            "about 6 retests fit into the 60 s that are left on 1 worker",
        ),
        (
            Bill(trials=0, retests=0, limit_seconds=60.0),
            "nothing more fits into the 60 s that are left on 1 worker",
        ),
        (Bill(trials=1, retests=0, limit_seconds=60.0), "about 1 more trial fits into"),
        (Bill(trials=None, retests=12), "as many trials as the time allows, on 1 worker; "),
    ],
)
def test_a_bill_is_said_in_whole_words(bill, text):
    assert bill_text(bill, 0.0).startswith(text)


def test_another_day_is_named():
    assert clock_text(0.0, 60.0).count(":") == 1
    assert clock_text(0.0, 10 * 86400.0)[5:].startswith(" on ")


def test_a_plan_says_what_it_does_not_know():
    plan = {
        "study": "digits",
        "epochs": None,
        "updates": None,
        "seconds_a_training": None,
        "stored": True,
    }
    text = plan_text(plan | {"placed": "2 workers", "engine": ""})
    assert text.splitlines() == [
        "left of study digits: how long a training takes is not known",
        "2 workers",
    ]
