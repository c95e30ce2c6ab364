"""How long a training takes by a few timed steps, and how the bill is worded."""

from dataclasses import replace

import pytest

from lrsearch.answer import Bill, forecast, timed_training
from lrsearch.answer.bill import TRIAL_SECONDS, VALIDATION
from lrsearch.forecast import Forecast, TimedSteps
from lrsearch.report.bill import bill_text, clock_text, plan_text

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
        # as wide as the sampler lets it be, and not as it could be
        (figures(), 4, 0.5),
        # in the middle between two stacks
        (figures(), 10, (0.5 * 4 + 0.2 * 16) / 2 / 10),
        (figures(), 99, 0.2),
        (figures(), 1, 1.0),
        (figures(width=4), 99, 0.5),
        (figures(mixed={"2 rows": 1.2, "16 rows": 0.4}), 16, 0.4),
        (figures(engine="graph"), 4, 1.0),
        # of a version without means
        (figures(means={}, milliseconds={"graph": 3.0}), 1, 3.0),
    ],
)
def test_a_trainings_length_follows_from_the_stack_that_it_will_be_a_row_of(
    study, given, at_once, milliseconds
):
    timed = timed_training(study().plan.facts, given, at_once=at_once, optimizers=6)
    assert timed.seconds == pytest.approx(
        BATCHES * SEEN * milliseconds / 1000 + TRIAL_SECONDS
    )
    assert timed.tracing == 2.0


def test_a_stack_has_one_graph_for_all_optimizers_and_trials_alone_have_one_each(study):
    facts = study().plan.facts
    stacked = timed_training(facts, figures(), at_once=8, optimizers=6)
    assert (stacked.graphs, stacked.traced, stacked.at_once) == (1, 1, 8)
    alone = timed_training(facts, figures(engine="graph"), at_once=8, optimizers=6)
    assert (alone.graphs, alone.traced, alone.at_once) == (6, 1, 1)
    anew = timed_training(
        facts, figures(engine="graph"), at_once=8, optimizers=6, all_differ=True
    )
    assert anew.tracing == 0.0
    assert anew.seconds == pytest.approx(alone.seconds + alone.tracing)


def test_a_validation_that_was_timed_is_not_guessed(study):
    given = figures(engine="graph", validation_seconds=0.5)
    timed = timed_training(study().plan.facts, given, at_once=1, optimizers=6)
    assert timed.seconds == pytest.approx(
        BATCHES * 1.0 / 1000 + 20 * 0.5 + TRIAL_SECONDS
    )


def test_a_stacks_validation_was_timed_in_two_widths(study):
    ends = {"2 rows": 200.0, "16 rows": 50.0}
    timed = timed_training(
        study().plan.facts, figures(ends=ends), at_once=16, optimizers=6
    )
    assert timed.seconds == pytest.approx(
        BATCHES * 0.2 / 1000 + 20 * 0.05 + TRIAL_SECONDS
    )
    assert timed.yours_seconds == pytest.approx(
        BATCHES * SEEN * 1.0 / 1000 + TRIAL_SECONDS
    )


def test_by_fit_every_training_is_traced_anew_and_whole_epochs_hold_their_validation(
    study,
):
    facts, asked = study().plan.facts, {"at_once": 1, "optimizers": 6}
    given = {
        "engine": "fit",
        "update_seconds": 0.01,
        "whole_epochs": True,
        "tracing_seconds": 3.0,
    }
    whole = timed_training(facts, given, **asked)
    assert (whole.seconds, whole.tracing) == (
        pytest.approx(BATCHES * 0.01 + 3.0 + TRIAL_SECONDS),
        0.0,
    )
    parts = timed_training(
        facts, given | {"whole_epochs": False, "engine": "graph"}, **asked
    )
    assert (parts.seconds, parts.tracing) == (
        pytest.approx(BATCHES * 0.01 * SEEN + TRIAL_SECONDS),
        3.0,
    )


@pytest.mark.parametrize(
    ("pruner", "trials", "stops"),
    [("none", 40, False), ("auto", 8, False), ("auto", 9, True), ("auto", None, True), ("asha", 9, True)],
)  # fmt: skip
def test_the_time_is_that_of_whole_trainings_where_trials_may_be_stopped_early(
    study, pruner, trials, stops
):
    given = study()
    given = replace(given, trials=trials, plan=replace(given.plan, pruner=pruner))
    assert forecast(given, [], figures(), workers=1).stops is stops


def test_what_was_not_timed_is_not_known(study):
    facts = study().plan.facts
    assert timed_training(facts, {}, at_once=1, optimizers=6) is None
    assert timed_training(facts, figures(means={}), at_once=1, optimizers=6) is None


def test_each_worker_trains_its_share_traces_what_it_meets_and_waits_for_the_search_to_end():
    timed = TimedSteps(
        seconds=1.0, yours_seconds=3.0, tracing=5.0, graphs=6, yours_tracing=2.0
    )
    made = Forecast(timed=timed, trainings=21, yours=4, workers=2, waits=True)
    assert made.total_seconds() == 9 * 1.0 + 2 * 3.0 + 6 * 5.0 + 2.0 + 0.5
    assert made.total_seconds(2) == 3.0 + 2.0, "yours comes first"
    assert made.total_seconds(6) == 1.0 + 2 * 3.0 + 5.0 + 2.0 + 0.5
    assert made.seconds_left(done=0, elapsed=6.0) == 41.5
    assert made.seconds_left(done=6, elapsed=29.0) == (47.5 - 14.5) * 2, (
        "graphs to trace are left, too"
    )


def test_what_is_left_takes_its_length_from_the_timed_steps_and_its_pace_from_trainings():
    timed = TimedSteps(seconds=1.0, yours_seconds=1.0)
    made = Forecast(timed=timed, trainings=20, yours=0, workers=2, waits=False)
    assert made.seconds_left(done=0, elapsed=6.0) == 4.0
    assert made.seconds_left(done=4, elapsed=6.0) == (10 - 2) * 3


@pytest.mark.parametrize(
    ("bill", "text"),
    [
        (
            Bill(trials=1, retests=0, seconds=5.0),
            "1 trial, about 5.0 s on 1 worker, done at ",
        ),
        (
            Bill(trials=0, retests=6, limit_seconds=60.0),
            "about 6 retests fit into the 60 s that are left on 1 worker",
        ),
        (
            Bill(trials=0, retests=0, limit_seconds=60.0),
            "nothing more fits into the 60 s that are left on 1 worker",
        ),
        (Bill(trials=1, retests=0, limit_seconds=60.0), "about 1 more trial fits into"),
        (
            Bill(trials=None, retests=12),
            "as many trials as the time allows, on 1 worker; ",
        ),
    ],
)
def test_a_bill_is_said_in_whole_words(bill, text):
    assert bill_text(bill, 0.0).startswith(text)


def test_a_bill_of_whole_trainings_says_that_early_stops_make_it_smaller():
    bill = Bill(trials=40, retests=0, seconds=5.0, stops=True)
    assert bill_text(bill, 0.0).endswith(", or sooner where trials are stopped early")
    fits = bill_text(replace(bill, limit_seconds=60.0), 0.0)
    assert fits.endswith(", or more where trials are stopped early")


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
        "seconds": None,
        "seconds_of_training": None,
        "limited_by_time": False,
    }
    text = plan_text(plan | {"placed": "2 workers", "engine": ""})
    assert text.splitlines() == [
        "left of study digits: how long a training takes is not known",
        "2 workers",
    ]


def test_a_plan_says_what_its_time_contains():
    plan = {
        "study": "digits", "epochs": 20, "updates": 900, "seconds_a_training": 1.0, "stored": False,
        "seconds": 30.0, "seconds_of_training": 20.0, "limited_by_time": False,
        "placed": "2 workers", "engine": "",
    }  # fmt: skip
    said = "the time is the whole command's: 20 s of training, retests included, and 10 s before"
    assert plan_text(plan).splitlines()[1].startswith(said)
    assert "whole command" not in plan_text(plan | {"limited_by_time": True})
