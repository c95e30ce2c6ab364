"""The benchmark of the verdict: banks whose truth is known, studies made of them, its table."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from trust import row
from trusting.bank import Bank, rates, tasks, train_bank
from trusting.retested import choose_retested, settings_of
from trusting.study import Plan, Simulation

from lrsearch.answer import Decision

RANDOM = np.random.default_rng(2)


def bank(*, settings=6, seeds=12, rows=300, whole=0.1, each_row=0.5, own=0.3):
    """Costs around 1: what a seed does to all rows, and at each; what a setting likes."""
    liked = own * RANDOM.normal(size=(settings, 1, rows))
    luck = whole * RANDOM.normal(size=(settings, seeds, 1))
    noise = each_row * RANDOM.normal(size=(settings, seeds, rows))
    return Bank(name="made", scores=(1 + liked + luck + noise).astype("float32"))


def simulation(made, names, plan, seed):
    settings = settings_of(rates(plan.settings + 1))
    return Simulation(made, names, plan, np.random.default_rng(seed), settings)


def test_the_combined_deviation_is_of_seeds_and_of_the_rows_of_a_split():
    made = bank(seeds=400, rows=1000)
    expected = (0.1**2 + (0.5**2 + 2 * 0.3**2) / 90) ** 0.5
    assert made.combined_deviation(0, 1, rows=90) == pytest.approx(expected, rel=0.1)


def test_levelled_settings_are_equal_on_average_and_differ_at_rows():
    level = bank().levelled()
    assert np.ptp(level.truth) < 1e-6
    assert np.abs(level.row_means[0] - level.row_means[1]).mean() > 0.1


def test_a_simulated_study_is_judged_against_the_truth():
    made, plan = bank(whole=0.001), Plan(settings=5, rows=90, gain=5.0)
    judged, other = (
        simulation(made, list(range(6)), plan, seed).judge() for seed in (0, 1)
    )
    assert judged.verdict.decision is Decision.BETTER
    assert judged.picked
    assert judged.gain == pytest.approx(5.0, abs=0.2)
    assert judged.verdict.counted == ["seeds", "rows", "choice"]
    line = row("a gain", [judged, other])
    assert line.startswith("| a gain | 2 | 100.0% | 100.0% | 100.0% |")


def test_a_model_of_the_rates_has_a_part_in_what_a_study_retests():
    made = bank(settings=41, rows=90, whole=0.5, each_row=0.0, own=0.0)
    study = simulation(made, list(range(41)), Plan(), 0)
    records = [study.record(number, number) for number in range(41)]
    chosen = choose_retested(records, study.space, 3)
    best = sorted(records[1:], key=lambda each: each.value)
    assert chosen[:2] == [each.number for each in best[:2]]
    assert chosen != [each.number for each in best[:3]]


def test_no_training_is_seen_twice_in_a_study():
    made = bank(settings=1, seeds=30)
    study = simulation(made, [0] * 6, Plan(settings=5), 0)
    study.judge()
    assert len(study.used) == 6 + 4 * 3 + 1


def test_networks_of_a_bank_learn_side_by_side():
    task = tasks()[0]
    slow, good = train_bank(task, np.array([1e-6, 0.02]), seeds=2).truth
    assert good < 0.9 * slow
