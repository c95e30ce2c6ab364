"""What is said of a comparison before its first trial."""

import pytest

from lrsearch.engine.inspection_notes import comparison_notes
from lrsearch.engine.loaded import Findings
from lrsearch.space import SearchSpace
from lrsearch.values import Setting

pytestmark = pytest.mark.tensorflow


def noted(optimizer, space=None, **hyper):
    yours = Setting(
        optimizer=optimizer,
        learning_rate=1e-3,
        schedule="constant",
        batch_size=32,
        hyper=hyper,
    )
    notes = comparison_notes(
        yours, Findings(), space or SearchSpace(), same_weights=False, averages=False
    )
    return " ".join(notes)


def test_a_weight_decay_of_yours_that_is_not_searched_is_named():
    said = noted("adamw", weight_decay=0.02)
    assert "yours has a weight_decay of 0.02" in said
    assert "hyper={'adamw': {'weight_decay': 0.02}}" in said
    assert "of 0.001" in noted("OwnOptimizer", weight_decay=1e-3)


def test_no_decay_and_the_usual_one_are_not_worth_a_word():
    assert noted("momentum", momentum=0.9) == ""
    assert noted("adamw", weight_decay=0.004) == ""
    assert noted("sgd", weight_decay=0.0) == ""


def test_a_space_that_names_the_decay_says_enough():
    space = SearchSpace(hyper={"adamw": {"weight_decay": 0.02}})
    assert noted("adamw", space, weight_decay=0.02) == ""
