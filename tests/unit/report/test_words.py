"""Numbers and settings in words, the same everywhere."""

import pytest
from ledger_tools import setting

from lrsearch.answer.words import rate_text
from lrsearch.report.words import (
    duration_text,
    further_text,
    schedule_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import Kind, Origin, Setting, TrialRecord, TrialState


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (1e-3, "1.0e-3"),
        (0.21, "2.1e-1"),
        (2.0, "2.0e0"),
        (1.24e-10, "1.2e-10"),
        (0.0, "0"),
    ],
)
def test_rates_read_as_people_write_them(rate, text):
    assert rate_text(rate) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98765, "0.9877"),
        (None, "-"),
        (float("nan"), "-"),
        (123456.0, "1.235e+05"),
        (3.214e-4, "0.000321"),
        (0.0, "0.0000"),
        (2.30881, "2.3088"),
        (44.77861, "44.779"),
        (129.0908, "129.09"),
        (-2e-9, "-2e-09"),
    ],
)
def test_values_have_four_digits_small_ones_three_figures_and_unknown_ones_a_dash(
    value, text
):
    assert value_text(value) == text


def searched(setting):
    return TrialRecord(
        id=1,
        number=1,
        kind=Kind.SEARCH,
        origin=Origin.SAMPLED,
        state=TrialState.COMPLETE,
        setting=setting,
        seed=0,
    )


def test_what_varies_is_said_of_a_setting_and_nothing_else():
    def adamw(batch, decay):
        hyper = {"weight_decay": decay, "beta_1": 0.9}
        return Setting(
            optimizer="adamw",
            learning_rate=1e-3,
            schedule="constant",
            batch_size=batch,
            hyper=hyper,
            extra={"units": 8},
        )

    varying = varying_of([searched(adamw(32, 0.01)), searched(adamw(64, 0.02))])
    assert varying == {"batch_size", "adamw.weight_decay"}
    assert (
        further_text(adamw(64, 0.02), varying) == "units 8, batch 64, weight decay 0.02"
    )
    assert further_text(adamw(64, 0.02)) == "units 8"


def test_a_searched_text_cannot_break_its_line():
    extra = {"mark": "a\nb\x1b[2J", "empty": "", "plain": "x y", "greek": "λ"}
    chosen = Setting(
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        batch_size=8,
        extra=extra,
    )
    assert further_text(chosen) == r"mark 'a\nb\x1b[2J', empty '', plain x y, greek λ"


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([0.967, 0.985], 3),
        ([3.2e-4, 0.5], 6),
        ([0.0, None], 3),
        ([0.051], 4),
        ([44.8, 128.0], 2),
        ([1.5, 128.0], 3),
        ([30000.0], 0),
    ],
)
def test_digits_show_three_figures_of_the_smallest_and_fewer_of_large_values(
    values, digits
):
    assert value_digits(values) == digits


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.23, "1.2 s"),
        (42, "42 s"),
        (240, "4 min"),
        (4800, "80 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_a_schedule_says_its_warmup_foot_and_knobs_and_nothing_that_is_zero():
    shape = {"warmup": 0.05, "final": 0.03, "power": 2.0}
    chosen = Setting(
        optimizer="adam",
        learning_rate=1e-3,
        schedule="polynomial",
        batch_size=None,
        shape=shape,
    )
    assert schedule_text(chosen) == "polynomial, 5 % warm-up, to 3 %, power 2"
    assert schedule_text(setting()) == "constant"
