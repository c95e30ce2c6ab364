"""The nearest name is the one with the fewest slips."""

import pytest

from lrsearch.errors import UnknownName, nearest_name, slips
from lrsearch.space import OPTIMIZERS, SHAPES


@pytest.mark.parametrize(
    ("got", "meant"),
    [
        ("adma", "adam"), ("Adam", "adam"), ("ADAMW", "adamw"), ("adamx", "adamax"), ("sdg", "sgd"), ("momentun", "momentum"),
        ("lamp", "lamb"), ("adagard", "adagrad"), ("muno", "muon"), ("nadma", "nadam"), ("xyz", None), ("", None),
    ],
)  # fmt: skip
def test_a_misspelt_optimizer_suggests_the_one_that_was_meant(got, meant):
    assert nearest_name(got, OPTIMIZERS) == meant


def test_other_names_are_suggested_alike():
    assert nearest_name("cosin", SHAPES) == "cosine"
    assert nearest_name("cos", SHAPES) == "cosine"
    assert nearest_name("Digits", ["digits", "digits2"]) == "digits"
    assert nearest_name("anything", []) is None


def test_neighbours_that_changed_places_are_one_slip():
    assert [slips("adma", each) for each in ("adam", "adamax", "adamw")] == [1, 2, 2]
    assert slips("", "abc") == slips("abc", "") == 3


def test_without_a_near_name_all_are_listed():
    assert "Known: adam, sgd." in str(
        UnknownName("optimizer", got="xyz", known=["sgd", "adam"])
    )
