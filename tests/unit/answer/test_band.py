"""The band: the rates that do as well, a rate on their low side, and where training diverges."""

import math

import pytest

from lrsearch.answer import summarise
from lrsearch.report.answer_page import answer_text
from lrsearch.values import Direction, TrialState

DOWN = Direction.MINIMIZE


@pytest.fixture
def sweep(trial):
    """Adam's rates from low to high, in losses: flat from 1e-3 to 8e-3, diverging from 6.4e-2."""
    losses = {
        1e-4: 0.9, 1e-3: 0.501, 2e-3: 0.502, 4e-3: 0.5, 8e-3: 0.503, 1.6e-2: 0.7, 3.2e-2: 1.1,
        6.4e-2: None, 1.28e-1: None,
    }  # fmt: skip
    return [
        trial(0, value=0.8),
        *(
            trial(n, "adam", rate, loss)
            for n, (rate, loss) in enumerate(losses.items(), start=1)
        ),
    ]


def test_the_band_reaches_to_the_first_worse_rate_on_either_side(study, sweep):
    band = summarise(study(DOWN), sweep).band
    assert (band.low, band.high, band.trials) == (1e-3, 8e-3, 4)
    assert (band.optimizer, band.schedule) == ("adam", "linear")


def test_the_recommendation_lies_on_the_low_side_and_says_how_far_divergence_is(
    study, sweep
):
    answer = summarise(study(DOWN), sweep)
    assert answer.best.setting.learning_rate == 4e-3
    assert answer.band.recommended == pytest.approx(math.sqrt(1e-3 * 8e-3))
    assert answer.band.diverges_from == 6.4e-2
    assert answer.band.headroom == pytest.approx(22.6, abs=0.1)
    assert (
        "band: rates 1.0e-3 to 8.0e-3 do as well (4 trials of adam: linear); take 2.8e-3, on their "
        "low side; training diverges from 6.4e-2, 23 times as high."
    ) in answer_text(answer)


def test_a_best_rate_without_an_equal_is_said_to_stand_alone(study, trial):
    losses = {1e-4: 0.9, 4e-3: 0.5, 3.2e-2: 0.9}
    trials = [
        trial(n, "adam", rate, loss)
        for n, (rate, loss) in enumerate(losses.items(), start=1)
    ]
    assert (
        "band: no other rate of adam (linear) did as well as 4.0e-3; no rate above diverged."
    ) in answer_text(summarise(study(DOWN), [trial(0, value=0.8), *trials]))


def test_a_best_on_the_low_side_stays_the_recommendation(study, sweep, trial):
    lower = [*sweep, trial(20, "adam", 1.1e-3, 0.4999)]
    assert summarise(study(DOWN), lower).band.recommended == 1.1e-3


def test_a_rate_that_diverged_within_ends_the_band(study, sweep, trial):
    band = summarise(study(DOWN), [*sweep, trial(20, "adam", 6e-3, None)]).band
    assert band.high == 4e-3
    assert band.diverges_from == 6.4e-2, "higher rates held"


def test_few_trials_of_its_schedule_leave_the_band_to_the_optimizer(study, trial):
    from dataclasses import replace

    cosine = trial(4, "adam", 5e-3, 0.49)
    cosine = replace(cosine, setting=replace(cosine.setting, schedule="cosine"))
    others = [
        trial(n, "adam", rate, 0.491) for n, rate in ((1, 2e-3), (2, 4e-3), (3, 9e-3))
    ]
    band = summarise(study(DOWN), [trial(0, value=0.8), *others, cosine]).band
    assert (band.schedule, band.low, band.high) == (None, 2e-3, 9e-3)


def test_there_is_no_band_where_yours_is_the_best_or_nothing_is(study, trial):
    assert (
        summarise(study(DOWN), [trial(0, value=0.1), trial(1, value=0.5)]).band is None
    )
    answer = summarise(study(DOWN), [trial(0, state=TrialState.FAILED)])
    assert answer.band is None
    assert answer.to_json()["band"] is None
