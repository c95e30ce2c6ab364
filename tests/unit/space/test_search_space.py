"""The search space: round trips, ranges, and one line for what is not allowed."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.space import OPTIMIZERS, SHAPES, SearchSpace
from lrsearch.space.axis import fold, gain_of

EVERYTHING = SearchSpace(
    optimizers=list(OPTIMIZERS),
    schedules=list(SHAPES),
    batch_size=[32, 64, 128],
    hyper={
        "adamw": {"weight_decay": (1e-4, 1e-1)},
        "momentum": {"momentum": (0.5, 0.99)},
        "adam": {"beta_1": 0.8},
    },
    extra={"dropout": (0.0, 0.5), "units": (8, 64), "activation": ["relu", "gelu"]},
)


@st.composite
def params(draw, space):
    found = {}
    for each in space.dimensions():
        if each.kind == "categorical":
            found[each.name] = draw(st.sampled_from(each.choices))
        elif each.kind == "int":
            found[each.name] = draw(st.integers(int(each.low), int(each.high)))
        elif each.log:
            drawn = math.exp(draw(st.floats(math.log(each.low), math.log(each.high))))
            # exp(log(0.1)) is a rounding above 0.1
            found[each.name] = min(max(drawn, each.low), each.high)
        else:
            found[each.name] = draw(st.floats(each.low, each.high))
    return found


@given(point=params(EVERYTHING))
def test_a_setting_and_its_params_are_one_another(point):
    setting = EVERYTHING.setting_from(point)
    again = EVERYTHING.setting_from(EVERYTHING.params_of(setting))
    assert again.learning_rate == pytest.approx(setting.learning_rate, rel=1e-9)
    assert (again.optimizer, again.schedule, again.batch_size) == (
        setting.optimizer,
        setting.schedule,
        setting.batch_size,
    )
    assert (again.shape, again.hyper, again.extra) == (
        setting.shape,
        setting.hyper,
        setting.extra,
    )


@given(point=params(EVERYTHING))
def test_rates_stay_in_the_plausible_range_and_params_in_the_dimensions(point):
    setting = EVERYTHING.setting_from(point)
    low, high = EVERYTHING.rates_for(setting)
    assert low <= setting.learning_rate <= high
    for found, dimensions in (
        (EVERYTHING.params_of(setting), EVERYTHING.dimensions()),
        (EVERYTHING.public_params(setting), EVERYTHING.public_dimensions()),
    ):
        assert set(found) == {each.name for each in dimensions}
        for each in dimensions:
            inside = (
                found[each.name] in each.choices
                if each.kind == "categorical"
                else each.low <= found[each.name] <= each.high
            )
            assert inside, each


@given(
    value=st.floats(1e-12, 1e12), low=st.floats(1e-6, 1e-1), width=st.floats(1.01, 1e6)
)
def test_folding_lands_inside_and_keeps_what_is_inside(value, low, width):
    assert low <= fold(value, low, low * width) <= low * width
    assert fold(low * math.sqrt(width), low, low * width) == low * math.sqrt(width)


def test_folding_piles_nothing_up_at_an_edge():
    inside = {round(fold(10.0**power, 1e-3, 1e-1), 9) for power in [-2.5, -1.5, -0.5]}
    # 10**-0.5 is reflected onto 10**-1.5, not onto the edge
    assert inside == {round(10**-2.5, 9), round(10**-1.5, 9)}


def test_the_axis_is_the_same_whatever_the_space():
    axes = {
        next(each for each in space.dimensions() if each.name == "lr_over_reference")
        for space in (
            SearchSpace(),
            EVERYTHING,
            SearchSpace.fine_tuning(),
            SearchSpace(learning_rate=(1e-4, 1e-2)),
        )
    }
    assert len(axes) == 1


def test_references_are_each_optimizers_reference_rate_on_a_falling_schedule():
    found = SearchSpace().references()
    assert [each.optimizer for each in found] == list(SearchSpace().optimizers)
    assert {each.schedule for each in found} == {"linear"}
    on_the_axis = [SearchSpace().params_of(each)["lr_over_reference"] for each in found]
    assert on_the_axis == pytest.approx([1.0] * len(found))


def test_references_are_clipped_into_the_rates_asked_for():
    assert [
        each.learning_rate
        for each in SearchSpace(
            optimizers=["sgd"], learning_rate=(1e-4, 1e-3)
        ).references()
    ] == [1e-3]


def test_reference_rates_scale_with_the_batch_linearly_for_sgd_and_by_the_root_for_adam():
    space = SearchSpace(batch_size=[32, 128])
    rate = {
        (optimizer, batch): space.setting_from(
            {
                "optimizer": optimizer,
                "schedule": "constant",
                "lr_over_reference": 1.0,
                "batch_size": batch,
                "decay_start": 0.8,
                "warmup": 0,
                "final": 0,
            }
        ).learning_rate
        for optimizer in ("sgd", "adam")
        for batch in (32, 128)
    }
    assert rate["sgd", 128] == pytest.approx(4 * rate["sgd", 32])
    assert rate["adam", 128] == pytest.approx(2 * rate["adam", 32])


def test_overrides_change_fields_by_name():
    space = SearchSpace().with_overrides(
        {
            "optimizers": ["lion"],
            "learning_rate": [1e-5, 1e-3],
            "warmup": 0.1,
            "batch_size": [16],
        }
    )
    assert (space.optimizers, space.learning_rate, space.warmup, space.batch_sizes) == (
        ("lion",),
        (1e-5, 1e-3),
        0.1,
        (16,),
    )


def test_optimizers_that_are_left_out_take_what_is_said_of_them_along():
    whole = SearchSpace(
        learning_rate={"adam": (1e-4, 1e-2), "sgd": (1e-3, 1.0)},
        hyper={"adam": {"beta_1": 0.8}},
    )
    space = whole.with_overrides({"optimizers": ["sgd"]})
    assert (space.learning_rate, space.hyper) == ({"sgd": (1e-3, 1.0)}, {})
    assert SearchSpace.fine_tuning(optimizers=["adamw"]).learning_rate == {
        "adamw": (1e-6, 1e-3)
    }


def test_the_command_lines_extra_and_fine_tuning_are_the_spaces_own():
    space = SearchSpace(batch_size=[8, 16], extra={"units": (8, 64)}).with_overrides(
        {
            "fine_tuning": True,
            "warmup": 0.1,
            "extra": {
                "dropout": {"between": [0.0, 0.5]},
                "kind": {"choices": ["a", True]},
            },
        }
    )
    assert space.extra == {"units": (8, 64), "dropout": (0.0, 0.5), "kind": ["a", True]}
    assert (space.optimizers, space.warmup, space.batch_sizes) == (
        ("adam", "adamw", "lion"),
        0.1,
        (8, 16),
    )


def test_references_fall_as_low_as_was_asked_for():
    assert {each.shape["final"] for each in SearchSpace().references()} == {0.0}
    assert {
        each.shape["final"] for each in SearchSpace(final=(0.02, 0.1)).references()
    } == {0.02}


def test_suggest_asks_any_trial_and_answers_with_rates():
    class Trial:
        def __init__(self):
            self.attributes = {}

        def suggest_float(self, name, low, high, *, log=False):
            return math.sqrt(low * high) if log else (low + high) / 2

        def suggest_int(self, name, low, high):
            return low

        def suggest_categorical(self, name, choices):
            return choices[0]

        def set_user_attr(self, name, value):
            self.attributes[name] = value

    trial = Trial()
    chosen = SearchSpace(
        optimizers=["adam"], schedules=["linear"], warmup=0.0, final=0.0
    ).suggest(trial, total_steps=10)
    peak = 1e-3 * gain_of(chosen.setting)
    assert chosen.rate(0) == pytest.approx(peak)
    assert chosen.rate(9) == pytest.approx(peak / 10)
    assert trial.attributes == {"learning_rate": chosen.setting.learning_rate}


BAD = {
    "optimizers": ({"optimizers": ["adamm"]}, UnknownName, "'adam'"),
    "no optimizers": ({"optimizers": []}, InvalidValue, "at least one"),
    "a string": ({"optimizers": "adam"}, InvalidValue, "list of names"),
    "twice": ({"schedules": ["linear", "linear"]}, InvalidValue, "differ"),
    "schedules": ({"schedules": ["cosin"]}, UnknownName, "'cosine'"),
    "upside down": ({"learning_rate": (1e-2, 1e-4)}, InvalidValue, "low below high"),
    "NaN": ({"learning_rate": (math.nan, 1.0)}, InvalidValue, "low below high"),
    "zero": ({"learning_rate": (0.0, 1.0)}, InvalidValue, "within"),
    "another optimizer's": (
        {"learning_rate": {"lion": (1e-5, 1e-3)}},
        UnknownName,
        "lion",
    ),
    "warmup": ({"warmup": 1.5}, InvalidValue, "fraction"),
    "final": ({"final": (0.5, 0.1)}, InvalidValue, "low below high"),
    "batch": ({"batch_size": [32, 0]}, InvalidValue, "at least 1"),
    "hyper": ({"hyper": {"adam": {"beta1": (0.8, 0.9)}}}, UnknownName, "'beta_1'"),
    "two decays": (
        {"hyper": {"adam": {"weight_decay": 1e-3, "independent_weight_decay": 1e-4}}},
        InvalidValue,
        "one kind",
    ),
    "extra": ({"extra": {"optimizer": (0.0, 1.0)}}, InvalidValue, "identifier"),
    "extra range": (
        {"extra": {"dropout": 0.5}},
        InvalidValue,
        "pair of numbers or a list",
    ),
    "extra named as a knob": (
        {"extra": {"power": (0.0, 1.0)}},
        InvalidValue,
        "identifier",
    ),
    "extra of tuples": (
        {"extra": {"sizes": [(64, 64), (128,)]}},
        InvalidValue,
        "Choose by name",
    ),
    "extra twice": ({"extra": {"kind": ["a", "a"]}}, InvalidValue, "differ"),
    "a log range from 0": (
        {"hyper": {"adam": {"weight_decay": (0.0, 0.1)}}},
        InvalidValue,
        "above 0",
    ),
    "an average of everything": (
        {"hyper": {"adam": {"beta_1": 1.0}}},
        InvalidValue,
        "below 1",
    ),
    "a negative knob": (
        {"hyper": {"adam": {"weight_decay": (-1.0, 0.1)}}},
        InvalidValue,
        "at least 0",
    ),
    "a knob that is no number": (
        {"hyper": {"adam": {"beta_2": math.nan}}},
        InvalidValue,
        "low below high",
    ),
    "above Keras' clamp": (
        {"optimizers": ["adafactor"], "learning_rate": (1e-3, 10.0)},
        InvalidValue,
        "1/sqrt",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_is_not_allowed_is_refused_in_one_line(name):
    arguments, error, words = BAD[name]
    with pytest.raises(error, match=words) as caught:
        SearchSpace(**arguments)
    assert "\n" not in str(caught.value)


def test_an_unknown_override_suggests_the_nearest():
    with pytest.raises(UnknownName, match="'optimizers'"):
        SearchSpace().with_overrides({"optimizer": ["adam"]})


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_table_is_whole(name):
    spec = OPTIMIZERS[name]
    assert spec.low < spec.reference < spec.high
    assert all(knob.low <= knob.high for knob in spec.hyper.values())


def test_the_space_loads_without_keras_and_optuna():
    code = "import lrsearch.space, sys; assert not {'keras', 'tensorflow', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_rates_that_were_asked_for_are_told_by_optimizer():
    both = {"optimizers": ("sgd", "adam")}
    assert SearchSpace(**both).asked_rates == {}
    pair = (1e-4, 1e-1)
    assert SearchSpace(**both, learning_rate=pair).asked_rates == {
        "sgd": pair,
        "adam": pair,
    }
    assert SearchSpace(**both, learning_rate={"adam": pair}).asked_rates == {
        "adam": pair
    }
