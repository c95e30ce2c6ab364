"""Replays of whole studies: who is retested under a rule, and which setting it picks."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from replaying.division import Division, pick_of, retested

# places 0 (yours) to 5; 3 leads, the median is 4.0, so that half of the way to it is
# 2.5
LOSSES = np.array([2.4, 6.0, 5.0, 1.0, 3.0, np.inf, 4.0])
PLACES = [0, 1, 2, 3, 4, 5, 6]
LOSSES[6] = 5.5


@pytest.mark.parametrize(
    ("rule", "places"),
    [
        ({"retests": 0}, []),
        ({"retests": 3, "who": "pair"}, [3, 0, 3]),
        ({"retests": 3, "who": "able", "reach": 0.5}, [3, 0, 3]),
        ({"retests": 3, "who": "able", "reach": 0.3}, [3, 3, 3]),  # yours could not win
        ({"retests": 3, "who": "rounds", "reach": 0.3}, [3, 0, 3]),
        ({"retests": 3, "who": "leaders", "reach": 1.0}, [3, 0, 4]),
        ({"retests": 9, "who": "whole"}, [3, 0, 3, 0, 3, 0, 4, 4, 4]),
    ],
)
def test_each_rule_retests_those_that_it_names(rule, places):
    assert retested(Division(references=3, **rule), PLACES, LOSSES) == places


def test_the_best_mean_of_retests_is_picked_and_without_retests_the_best_value():
    again = np.tile(LOSSES[:, None], (1, 12))
    again[3] = 9.0  # the leader was lucky
    pair = Division(references=3, retests=2, who="pair")
    assert pick_of(pair, PLACES, LOSSES, again, both=False) == 0
    assert (
        pick_of(Division(references=3, retests=0), PLACES, LOSSES, again, both=False)
        == 3
    )
    assert pick_of(pair, [5], LOSSES, again, both=False) is None
