"""Shapes against curves written by hand, and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.space import SHAPES, rate, rates, rise_of
from lrsearch.values import Setting


def setting(schedule, peak=1.0, **shape):
    knobs = {name: knob.default for name, knob in SHAPES[schedule].knobs.items()}
    return Setting(
        optimizer="adam",
        learning_rate=peak,
        schedule=schedule,
        batch_size=32,
        shape={**knobs, **shape},
    )


BY_HAND = {  # ten updates
    "constant": [1] * 10,
    "linear": [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
    "polynomial": [1, 0.81, 0.64, 0.49, 0.36, 0.25, 0.16, 0.09, 0.04, 0.01],
    "cosine": [1, 0.9755, 0.9045, 0.7939, 0.6545, 0.5, 0.3455, 0.2061, 0.0955, 0.0245],
    "exponential": [
        1,
        0.631,
        0.3981,
        0.2512,
        0.1585,
        0.1,
        0.0631,
        0.0398,
        0.0251,
        0.0158,
    ],
    "step": [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01],
    "warmup_stable_decay": [1, 1, 1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6],
}

BY_A_TEST_BELOW = {
    "cosine_restarts",
    "cyclic",
    "inverse_sqrt",
    "inverse_time",
    "one_cycle",
}


def test_every_shape_is_held_by_hand_or_by_a_test_of_its_own():
    assert set(SHAPES) == {*BY_HAND, *BY_A_TEST_BELOW}


@pytest.mark.parametrize("schedule", sorted(BY_HAND))
def test_a_shape_is_the_curve_written_by_hand(schedule):
    assert rates(setting(schedule), 10) == pytest.approx(BY_HAND[schedule], abs=1e-4)


def test_cosine_restarts_begins_again_at_the_peak():
    curve = rates(setting("cosine_restarts", cycles=2), 8)
    assert curve == pytest.approx([*rates(setting("cosine"), 4)] * 2)


def test_cyclic_falls_to_a_tenth_and_rises_again():
    assert rates(setting("cyclic", cycles=2), 8) == pytest.approx(
        [1, 0.55, 0.1, 0.55] * 2
    )


def test_one_cycle_rises_to_its_peak_and_falls_to_zero():
    curve = rates(setting("one_cycle", rise=0.5), 10)
    assert np.argmax(curve) == 5
    assert curve[5] == 1
    assert curve[0] == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", ["inverse_time", "inverse_sqrt"])
def test_a_hyperbola_ends_at_a_hundredth(schedule):
    assert rates(setting(schedule), 1000)[-1] == pytest.approx(0.01, rel=0.02)


def test_warmup_rises_from_its_first_step_and_meets_the_peak():
    assert rates(setting("linear", warmup=0.4), 10) == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )


def test_the_final_fraction_lifts_the_foot_and_not_the_peak():
    curve = rates(setting("linear", final=0.5), 10)
    assert curve[0] == 1
    assert curve[-1] == pytest.approx(0.55)


def test_the_peak_multiplies_and_the_last_rate_holds_beyond_the_run():
    assert rate(setting("linear", peak=3e-4), 0, 10) == pytest.approx(3e-4)
    assert rate(setting("linear"), 99, 10) == rate(setting("linear"), 9, 10)


@given(
    schedule=st.sampled_from(sorted(SHAPES)),
    total=st.integers(1, 3000),
    warmup=st.floats(0, 0.9),
    final=st.floats(0, 1),
    peak=st.floats(1e-7, 10),
)
def test_every_rate_lies_between_zero_and_the_peak_and_none_is_wasted(
    schedule, total, warmup, final, peak
):
    curve = rates(setting(schedule, peak, warmup=warmup, final=final), total)
    assert curve.shape == (total,)
    assert (curve <= peak * (1 + 1e-12)).all()
    assert (curve > 0).all()


@pytest.mark.parametrize("schedule", sorted(SHAPES))
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_past_its_rise_no_shape_rises_again_and_before_it_each_does(schedule, warmup):
    chosen = setting(schedule, warmup=warmup)
    curve, begins = rates(chosen, 1000), rise_of(chosen)
    falling = curve[round(begins * 1000) :]
    assert (np.diff(falling) <= 1e-12).all()
    assert begins == 0 or (np.diff(curve[: round(begins * 1000)]) > 0).any()


def test_what_rises_to_the_end_and_what_is_no_shape_of_ours_is_never_past_its_rise():
    assert [
        rise_of(setting(name))
        for name in ("cyclic", "cosine_restarts", "one_cycle", "linear")
    ] == [1, 1, 0.3, 0]
    assert rise_of(setting("one_cycle", rise=0.5)) == 0.5
    assert rise_of(setting("step", warmup=0.1)) == pytest.approx(0.1)
    assert (
        rise_of(
            Setting(
                optimizer="adam", learning_rate=1.0, schedule="TheirOwn", batch_size=1
            )
        )
        == 1
    )


def test_a_run_without_steps_and_an_unknown_shape_are_refused():
    with pytest.raises(InvalidValue, match="total_steps"):
        rates(setting("linear"), 0)
    with pytest.raises(UnknownName, match="'cosine'"):
        rates(
            Setting(
                optimizer="adam", learning_rate=1.0, schedule="cosin", batch_size=1
            ),
            10,
        )
