"""The values that options make: what they refuse, what they leave open, and whose names they use."""

from dataclasses import fields

import numpy as np
import pytest

from lrsearch.choices import CHOICES, check_choice
from lrsearch.cli.options import take_options
from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.options import (
    MachineOptions,
    RetestOptions,
    SearchOptions,
    split_options,
)
from lrsearch.sampling import PRUNERS, SAMPLERS


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("trials", 0, "a whole number of at least 1"),
        ("trials", 2.0, "a whole number of at least 1"),
        ("trainings", True, "a whole number of at least 1"),
        ("retest", -1, "a whole number of at least 0"),
        ("seed", "7", "a whole number of at least 0"),
        ("timeout", 0, "a number of seconds above 0"),
        ("timeout", float("nan"), "a number of seconds above 0"),
        ("allow_version_drift", 1, "True or False"),
        ("threads", 0, "a whole number of at least 1"),
        ("checkpoint_every", -1.0, "a number of seconds above 0"),
        ("checkpoint_quota", 0.5, "a whole number of bytes of at least 1"),
    ],
)
def test_a_field_refuses_what_it_cannot_hold(name, value, allowed):
    with pytest.raises(InvalidValue) as raised:
        split_options({name: value})
    assert raised.value.field == name
    assert raised.value.got is value
    assert raised.value.allowed.startswith(allowed)


def test_numpys_numbers_count_as_numbers():
    assert SearchOptions(trials=np.int64(3), timeout=np.float32(0.5)).trials == 3


@pytest.mark.parametrize("kind", sorted(CHOICES))
def test_a_name_that_is_not_offered_is_refused_where_the_value_is_built(kind):
    with pytest.raises(UnknownName) as raised:
        split_options({kind: "graph-like"})
    assert raised.value.allowed == sorted(CHOICES[kind])


def test_a_sampler_that_is_left_out_on_purpose_says_why():
    with pytest.raises(UnknownName, match="unpickles rows"):
        check_choice("sampler", "cmaes")


def test_the_names_are_those_of_the_tables_that_act_on_them():
    assert tuple(SAMPLERS) == CHOICES["sampler"]
    assert tuple(PRUNERS) == CHOICES["pruner"]


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ({}, 40),
        ({"trials": 7}, 7),
        ({"timeout": 60.0}, None),
        ({"trials": 7, "timeout": 60.0}, 7),
        ({"trainings": 12}, 10),
        ({"trainings": 12, "retest": 3}, 6),
        ({"trainings": 12, "retest": 0}, 12),
        ({"trainings": 12, "trials": 4}, 4),
    ],
)
def test_a_new_studys_total_follows_from_what_was_asked(asked, total):
    assert SearchOptions(**asked).total == total


def test_more_trials_than_trainings_are_refused():
    with pytest.raises(
        InvalidValue, match="--trials must be at most the 12 of --trainings"
    ):
        SearchOptions(trials=13, trainings=12)
    assert SearchOptions(trials=12, trainings=12).trials == 12


def test_options_go_to_the_value_that_has_a_field_of_their_name():
    search, machine = split_options(
        {"trials": 3, "workers": 2, "seed": None, "engine": None}
    )
    assert (search.trials, search.seed) == (3, None)
    assert (machine.workers, machine.engine) == (2, "auto")
    names = [each.name for each in (*fields(SearchOptions), *fields(MachineOptions))]
    assert len(names) == len(set(names)), "a name belongs to one value"
    with pytest.raises(TypeError, match="wokers"):
        split_options({"wokers": 2})


def test_the_command_line_names_a_refused_field_as_its_option():
    with pytest.raises(InvalidValue) as raised:
        take_options({"trials": 0, "engine": "auto"})
    assert str(raised.value) == "--trials must be at least 1; got 0."
    assert raised.value.field == "--trials"
    with pytest.raises(
        InvalidValue, match="--trials must be at most the 2 of --trainings; got 3"
    ):
        take_options({"trials": 3, "trainings": 2})


def test_the_command_lines_words_for_the_space_become_one_field():
    search, _ = take_options({"optimizers": ["adam"], "warmup": None, "trials": 2})
    assert (search.overrides, search.trials) == ({"optimizers": ["adam"]}, 2)


@pytest.mark.parametrize(
    "asked", [{}, {"seeds": 0}, {"top": 0}, {"seeds": 2, "top": -1}]
)
def test_a_retest_says_what_it_wants(asked):
    with pytest.raises(InvalidValue):
        RetestOptions(**asked)


def test_a_password_in_the_database_is_not_shown_with_the_options():
    machine = MachineOptions(storage="postgresql://me:secret@host/db")
    assert "secret" not in repr(machine)
