"""The race's own arithmetic: settings that mean the same to all tools, records, the table."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from race import schedule
from racing.arguments import read_records
from racing.points import OPTIMIZERS, OUR_RATES, SCHEDULES, Point, multipliers
from racing.results import report

from lrsearch import SearchSpace
from lrsearch.space import OPTIMIZERS as SPECS
from lrsearch.space import rates
from lrsearch.values import Setting


@pytest.mark.parametrize("schedule_name", SCHEDULES)
def test_a_point_has_the_rates_of_the_same_setting_of_lrsearch(schedule_name):
    final = 0.1 if schedule_name != "constant" else 0.0
    stable = schedule_name == "warmup_stable_decay"
    point = Point(
        optimizer="adam",
        learning_rate=0.01,
        schedule=schedule_name,
        warmup=0.15,
        final=final,
        decay_start=0.4 if stable else 0.0,
    )
    shape = {"warmup": 0.15} | ({"final": final} if final else {})
    ours = Setting(
        optimizer="adam",
        learning_rate=0.01,
        schedule=schedule_name,
        batch_size=64,
        shape=shape | ({"decay_start": 0.4} if stable else {}),
    )
    assert 0.01 * multipliers(point, 97) == pytest.approx(rates(ours, 97), abs=1e-12)


def test_the_peers_search_the_default_optimizers_shapes_and_ranges():
    space = SearchSpace()
    assert (tuple(OPTIMIZERS), SCHEDULES) == (space.optimizers, space.schedules)
    for name, (low, high) in OUR_RATES.items():
        spec = SPECS[name]
        assert (low, high) == pytest.approx((spec.low, spec.high))


def record(contender, seed, losses, **changes):
    known = {
        "task": "mlp",
        "contender": contender,
        "seed": seed,
        "runs": 12,
        "judge": 2,
    }
    known |= {
        "losses": losses,
        "epochs": 72,
        "trials": 13,
        "seconds": 40.0,
        "cpu": 30.0,
    }
    return known | changes


def test_the_table_pairs_seeds_and_names_what_was_paid():
    records = [
        record("optuna", 0, [0.4, 0.6]),
        record("optuna", 1, [0.7, 0.7], epochs=84),
        record("lrsearch none", 0, [0.4, 0.4]),
        record("lrsearch none", 1, [0.5, 0.5]),
    ]
    ours, theirs = report(records).splitlines()[-2:]
    assert ours == (
        "| lrsearch none | 2 | 0.4500 ±0.0500 | 12.5% | - | 12.0 | 13 | 40 | 30 |"
    )
    assert theirs == (
        "| optuna | 2 | 0.6000 ±0.1000 | 50.0% | +0.1500 ±0.0500 | 13.0 | 13 | 40 | 30 |"
    )


def test_a_line_that_was_cut_off_is_no_finished_study(tmp_path):
    file = tmp_path / "race.jsonl"
    assert read_records(file) == []
    file.write_text(json.dumps({"task": "mlp"}) + '\n{"task": "c')
    assert read_records(file) == [{"task": "mlp"}]


def test_contenders_take_turns_within_a_seed_so_that_all_have_as_many():
    given = Namespace(
        tasks=["cnn"], seeds=2, contenders=["optuna", "lrsearch none"], runs=12
    )
    given = Namespace(**vars(given), judge=3, peers_python="python", timeout=1.0)
    order = [(each.seed, each.contender) for each in schedule(given)]
    assert order == [
        (0, "optuna"), (0, "lrsearch none"), (1, "optuna"), (1, "lrsearch none"),
    ]  # fmt: skip
    assert np.all([each.epochs == 48 for each in schedule(given)])
