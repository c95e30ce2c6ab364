"""The axis of rates: gains of shapes, momentum, and the range that may be tried."""

import pytest

from lrsearch.space import OPTIMIZERS, SHAPES, SearchSpace, rate_range, unit_rate
from lrsearch.space.axis import gain_of
from lrsearch.values import Setting


def make(optimizer="adam", schedule="constant", hyper=None, batch_size=32, **shape):
    return Setting(
        optimizer=optimizer,
        learning_rate=1.0,
        schedule=schedule,
        batch_size=batch_size,
        shape=shape,
        hyper=hyper or {},
    )


# Reckoned from Schaipp et al. (2025) by another program, at 400 updates.
GAINS = {
    "linear": ({}, 2.73),
    "cosine": ({}, 2.65),
    "linear to a tenth": ({"schedule": "linear", "final": 0.1}, 2.39),
    "warmup_stable_decay": ({"decay_start": 0.5}, 1.79),
    "a late decay": ({"schedule": "warmup_stable_decay", "decay_start": 0.8}, 1.40),
    "polynomial": ({"power": 2.0}, 3.86),
    "exponential": ({}, 5.6),
    "inverse_sqrt": ({}, 38.0),
    "one_cycle": ({"rise": 0.3}, 2.5),
}


@pytest.mark.parametrize("name", GAINS)
def test_the_gain_of_a_shape_is_that_of_the_paper(name):
    options, gain = GAINS[name]
    assert gain_of(make(**{"schedule": name, **options})) == pytest.approx(
        gain, rel=0.02
    )


def test_a_constant_schedule_has_no_gain_and_every_other_shape_one():
    assert gain_of(make()) == pytest.approx(1.0)
    assert all(
        gain_of(
            make(schedule=name, decay_start=0.8, power=2.0, cycles=3, drops=2, rise=0.3)
        )
        > 1
        for name in SHAPES
        if name != "constant"
    )


@pytest.mark.parametrize(
    ("optimizer", "momentum", "factor"),
    [
        ("momentum", 0.5, 5.0),
        ("nesterov", 0.99, 0.1),
        ("rmsprop", 0.9, 0.1),
        ("muon", 0.8, 1.0),
    ],
)
def test_a_searched_momentum_stands_on_the_axis_where_it_lengthens_updates(
    optimizer, momentum, factor
):
    scaled = unit_rate(make(optimizer, hyper={"momentum": momentum}), 32)
    assert scaled == pytest.approx(OPTIMIZERS[optimizer].reference * factor)


def test_the_range_of_a_falling_shape_is_that_of_a_constant_times_its_gain():
    low, high = rate_range(make(schedule="linear"), asked={}, base=32)
    spec, gain = OPTIMIZERS["adam"], gain_of(make(schedule="linear"))
    assert (low, high) == pytest.approx((spec.low * gain, spec.high * gain))


def test_rates_that_were_asked_for_are_real_peaks_whatever_the_shape():
    asked = {"adam": (1e-4, 1e-2)}
    assert rate_range(make(schedule="linear"), asked=asked, base=32) == (1e-4, 1e-2)


def test_no_range_goes_beyond_what_keras_clamps():
    assert rate_range(make("adafactor", "exponential"), asked={}, base=32)[1] == 1.0


def test_a_rate_beyond_the_axis_stands_at_its_end():
    space = SearchSpace(
        optimizers=["adam"], schedules=["inverse_sqrt"], learning_rate=(1e-6, 1.0)
    )
    low = make(schedule="inverse_sqrt", final=0.0)
    far = Setting(**{**low.to_json(), "learning_rate": 1e-6})
    assert space.params_of(far)["lr_over_reference"] == 1e-4
