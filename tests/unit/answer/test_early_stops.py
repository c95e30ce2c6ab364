"""What the stopping rule did, from hand-made records."""

from dataclasses import replace

import pytest

from lrsearch.answer import early_stops, summarise
from lrsearch.report.answer_page import answer_text
from lrsearch.report.bill import early_stops_text
from lrsearch.report.notebook_page import answer_html
from lrsearch.values import SPARED, Origin, TrialState

NOTE = f"{SPARED}2"


@pytest.fixture
def ruled(study):
    """A study of 20 epochs with a stopping rule."""

    def ruled(pruner="auto"):
        made = study()
        return replace(made, plan=replace(made.plan, pruner=pruner))

    return ruled


@pytest.fixture
def searched(trial):
    """Ten that ran to their end, ten that were stopped after 4 and 6 of 20 epochs, one diverged."""
    full = [
        trial(number, value=0.90 + number / 1000, epochs=20) for number in range(10)
    ]
    stopped = [
        trial(number, state=TrialState.PRUNED, epochs=4 + 2 * (number % 2))
        for number in range(10, 20)
    ]
    return [*full, *stopped, trial(20, epochs=3)]


def noted(records, *numbers):
    return [
        replace(each, notes=(NOTE,)) if each.number in numbers else each
        for each in records
    ]


def test_what_was_stopped_and_saved_is_counted_in_epochs(ruled, searched):
    stops = early_stops(ruled(), searched)
    assert (stops.stopped, stops.trials) == (10, 21)
    assert (stops.trained_epochs, stops.saved_epochs) == (200 + 50 + 3, 10 * 20 - 50)
    assert stops.saved_share == pytest.approx(150 / 403)
    assert early_stops_text(stops) == (
        "10 of 21 trials, which saved 37% of the training; "
        "none that the rule would stop ran on as a control, so its mistakes are not known"
    )


@pytest.mark.parametrize(
    ("numbers", "among_best", "said"),
    [
        (
            (3,),
            0,
            "1 control ran on though the rule would have stopped it, and it did not end ",
        ),
        (
            (9,),
            1,
            "1 control ran on though the rule would have stopped it, and it ended ",
        ),
        (
            (1, 2),
            0,
            "2 controls ran on though the rule would have stopped them, and none of them ",
        ),
        (
            (2, 8, 9),
            2,
            "3 controls ran on though the rule would have stopped them, and 2 of them ",
        ),
    ],
)
def test_controls_tell_how_often_the_rule_would_have_been_wrong(
    ruled, searched, numbers, among_best, said
):
    stops = early_stops(ruled(), noted(searched, *numbers))
    assert (stops.controls, stops.controls_among_best) == (len(numbers), among_best)
    assert said in early_stops_text(stops)


def test_a_control_that_diverged_ended_badly(ruled, searched):
    stops = early_stops(ruled(), noted(searched, 20))
    assert (stops.controls, stops.controls_among_best) == (1, 0)


def test_a_fixed_rule_has_no_controls_to_speak_of(ruled, searched):
    text = early_stops_text(early_stops(ruled("asha"), searched))
    assert text == "10 of 21 trials, which saved 37% of the training"


def test_without_a_rule_or_without_stops_nothing_is_said(ruled, searched):
    assert early_stops(ruled("none"), searched) is None
    assert early_stops_text(None) == ""
    assert early_stops_text(early_stops(ruled(), searched[:10])) == ""
    assert early_stops(ruled(), []).saved_share == 0.0


def test_the_answer_says_it_on_its_page_in_a_notebook_and_in_json(
    ruled, searched, trial
):
    yours = trial(0, value=0.90, origin=Origin.YOURS, epochs=20)
    study, records = ruled(), [yours, *searched[1:]]
    answer = summarise(study, records)
    assert "stopped: 10 of 21 trials, which saved 37% of the training" in answer_text(
        answer
    )
    assert "<p>stopped: 10 of 21 trials" in answer_html(study, records, answer)
    assert answer.to_json()["early_stops"] == {
        "pruner": "auto",
        "trials": 21,
        "stopped": 10,
        "trained_epochs": 253,
        "saved_epochs": 150,
        "controls": 0,
        "controls_among_best": 0,
        "saved_share": pytest.approx(150 / 403),
    }
    assert summarise(ruled("none"), records).to_json()["early_stops"] is None
