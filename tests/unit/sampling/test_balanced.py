"""Quasi-random points with equally many trials of each choice."""

from collections import Counter

from lrsearch.sampling import make_sampler
from lrsearch.space import SearchSpace
from lrsearch.values import Direction

SPACE = SearchSpace(
    optimizers=("sgd", "adam", "lion"), schedules=("constant", "linear")
)


def settings(balanced, number):
    sampler = make_sampler(
        "qmc", SPACE, direction=Direction.MINIMIZE, seed=3, balanced=balanced
    )
    return [sampler.propose(each) for each in range(number)]


def test_each_optimizer_has_its_turn_at_the_same_points():
    found = settings("optimizer", 12)
    assert Counter(each.optimizer for each in found) == {"sgd": 4, "adam": 4, "lion": 4}
    for first in range(0, 12, 3):
        group = found[first : first + 3]
        assert (
            len({(each.schedule, *sorted(each.shape.items())) for each in group}) == 1
        )
    points = {
        (each.schedule, each.learning_rate)
        for each in found
        if each.optimizer == "adam"
    }
    assert len(points) == 4


def test_the_same_number_gives_the_same_setting_and_shapes_can_be_balanced_too():
    assert settings("schedule", 6) == settings("schedule", 6)
    assert Counter(each.schedule for each in settings("schedule", 6)) == {
        "constant": 3,
        "linear": 3,
    }
