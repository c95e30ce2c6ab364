"""The benchmark's own arithmetic: lists that agree, runs that are refused, figures from runs."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

CONTEST = Path(__file__).parents[3] / "benchmarks" / "contest"


def loaded(name):
    spec = importlib.util.spec_from_file_location(
        f"contest_{name}", CONTEST / f"{name}.py"
    )
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


settings, tables = loaded("settings"), loaded("tables")


def run(contender, place, count, seconds, **changes):
    known = {
        "contender": contender,
        "round": place,
        "count": count,
        "seconds": seconds,
        "span": seconds - 5,
        "epochs": 2 * count,
    }
    return {**known, "problems": [], "values": [0.5] * count, "facts": {}, **changes}


def test_a_longer_list_begins_with_the_shorter_one():
    assert settings.points(40)[:13] == settings.points(13)


def test_each_ten_settings_have_every_optimizer_twice_and_no_rate_above_its_reference():
    for begin in (0, 10, 20):
        names = [each.optimizer for each in settings.points(30)[begin : begin + 10]]
        assert sorted(names) == sorted(2 * list(settings.REFERENCE))
    assert all(
        each.learning_rate <= settings.REFERENCE[each.optimizer]
        for each in settings.points(100)
    )


def test_a_further_trial_and_the_start_up_come_from_the_two_lengths_of_each_round():
    runs = [
        run("peer a", place, count, 7 + place * count)
        for place in (1, 2, 3)
        for count in (2, 10)
    ]
    found = tables.figures(runs, "peer a", (2, 10), flops=4e9, rates={"peak": 1e11})
    assert (found["further"], found["start-up"], found["whole"]) == (2.0, 7.0, 27.0)
    assert found["share of peak"] == pytest.approx(0.02)


def test_a_round_with_a_problem_is_not_counted_and_said():
    runs = [
        run("peer a", place, count, 10 * place + count)
        for place in (1, 2)
        for count in (2, 10)
    ]
    runs[-1]["problems"] = ["9 trials where 10 were asked"]
    found = tables.figures(runs, "peer a", (2, 10), flops=1.0, rates={})
    assert (found["rounds"], found["failed runs"], found["whole"]) == (1, 1, 20.0)


def test_the_fastest_peer_is_the_measure_and_a_cost_below_zero_is_none():
    rows = [
        {"contender": "lrsearch graph", "rounds": 1, "whole": 5.0, "further": 0.5},
        {"contender": "peer a", "rounds": 1, "whole": 10.0, "further": -1.0},
        {"contender": "peer b", "rounds": 1, "whole": 20.0, "further": 2.0},
    ]
    ours = tables.against_peers(rows)[0]
    assert (ours["whole of peers'"], ours["further of peers'"]) == (0.5, 0.25)
    assert math.isnan(tables.against_peers(rows[:2])[0]["further of peers'"])


def test_a_table_has_a_dash_where_a_contender_has_no_figure():
    text = tables.table([{"contender": "peer a", "rounds": 0, "failed runs": 2}])
    assert text.splitlines()[1].split() == ["peer", "a", "0", *["-"] * 9, "2"]
