"""Replays on tables: what a search may see, what it pays, and what its pick is held against."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from replay import reached_by, references_of, regrets_of, replay
from replaying.search import Neighbours, Policy, Search
from replaying.table import Table
from replaying.truth import denoised

from lrsearch import SearchSpace
from lrsearch.budget import REFERENCES
from lrsearch.values import Direction, Setting, TrialState

RATES = np.geomspace(1e-5, 1e-1, 40)
SPACE = SearchSpace(
    optimizers=("adam",), schedules=("constant",), warmup=0.0, final=0.0
)


def setting(rate, optimizer="adam"):
    return Setting(
        optimizer=optimizer,
        learning_rate=float(rate),
        schedule="constant",
        batch_size=None,
        shape={"warmup": 0.0},
    )


def bowl(*, epochs=9, best=3e-3, direction=Direction.MINIMIZE):
    """Losses that grow with the distance from the best rate, in decades; the highest diverge."""
    away = np.abs(np.log10(RATES / best))
    sign = -1 if direction is Direction.MAXIMIZE else 1
    curves = sign * (away[:, None] + 1 / np.arange(1, epochs + 1))
    curves[RATES > 5e-2, 2:] = np.nan
    return Table(
        name="bowl",
        direction=direction,
        steps_per_epoch=10,
        settings=tuple(map(setting, RATES)),
        curves=curves,
        values=curves[:, -1],
        retests=np.full((len(RATES), 1), np.nan),
    )


def search(table, **policy):
    return Search(table=table, space=SPACE, policy=Policy(**policy), seed=0)


def test_the_nearest_setting_answers_a_proposal_and_is_gone_afterwards():
    neighbours = Neighbours(tuple(map(setting, (1e-4, 1e-3, 1e-2))))
    assert [neighbours.take(setting(1.2e-3)) for _ in range(3)] == [1, 2, 0]
    assert not neighbours.left


def test_another_optimizer_answers_only_when_nothing_else_is_left():
    neighbours = Neighbours((setting(1e-3, "sgd"), setting(1e-5)))
    assert [neighbours.take(setting(1e-3)) for _ in range(2)] == [1, 0]


def test_a_full_run_costs_one_and_a_diverged_one_its_share():
    steps = search(bowl(), sampler="random").run(budget=40, first=())
    assert len(steps) == len(RATES)
    diverged = [each for each in steps if each.state is TrialState.DIVERGED]
    assert len(diverged) == (RATES > 5e-2).sum()
    assert steps[-1].paid == pytest.approx(len(steps) - len(diverged) * (1 - 3 / 9))


def test_a_stopped_trial_is_no_pick_and_costs_what_it_trained():
    steps = search(bowl(), sampler="random", pruner="asha").run(budget=8, first=())
    stopped = [each for each in steps if each.state is TrialState.PRUNED]
    assert stopped
    assert not {each.pick for each in steps} & {each.place for each in stopped}
    assert len(steps) > 8


def test_the_first_settings_come_first_and_run_to_their_end():
    first = tuple(map(setting, (1e-5, 1e-4)))
    steps = search(bowl(), sampler="random", pruner="asha").run(budget=4, first=first)
    assert [each.place for each in steps[:2]] == [0, 10]
    assert steps[1].state is TrialState.COMPLETE


@pytest.mark.parametrize("direction", Direction)
def test_the_pick_is_the_best_value_so_far_in_either_direction(direction):
    table = bowl(direction=direction)
    steps = search(table, sampler="random").run(budget=10, first=())
    sign = -1 if direction is Direction.MAXIMIZE else 1
    values = [sign * table.values[each.place] for each in steps]
    best = np.nanargmin(values)
    assert steps[-1].pick == steps[best].place


def test_regret_is_0_at_the_truths_best_and_1_at_its_median():
    truth = denoised(bowl())
    assert truth.regret(int(truth.losses.argmin())) == 0
    assert truth.losses[np.argmin(RATES)] > truth.median > truth.best
    assert truth.among_best(0.05).sum() == 2


def test_a_retested_setting_is_believed_more_than_its_neighbours():
    table = bowl()
    lucky = int(np.argmin(np.abs(RATES - 1e-4)))
    values, retests = table.values.copy(), np.full((len(RATES), 6), np.nan)
    values[lucky] = values.min() - 1
    retests[lucky] = table.values[lucky]
    told = Table(
        **{
            name: getattr(table, name)
            for name in ("name", "direction", "steps_per_epoch")
        },
        settings=table.settings,
        curves=table.curves,
        values=values,
        retests=retests,
    )
    truth = denoised(told)
    assert truth.regret(lucky) > 0.5


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    table = bowl()
    table.save(tmp_path / "bowl.npz")
    again = Table.load(tmp_path / "bowl.npz")
    assert (again.name, again.direction, again.settings) == (
        table.name,
        table.direction,
        table.settings,
    )
    np.testing.assert_allclose(again.curves, table.curves, rtol=1e-6)
    assert math.isnan(again.retests[0, 0])


def test_what_was_reached_is_told_in_full_runs():
    table = bowl()
    steps = search(table, sampler="random").run(budget=40, first=())
    regrets = regrets_of(steps, denoised(table), (5, 40))
    reached = reached_by(steps, denoised(table))
    assert regrets[1] <= regrets[0]
    assert 1 <= reached[0] <= 40


def test_each_budget_begins_with_the_references_of_a_search_of_so_many_trials():
    table, space = bowl(), SearchSpace()
    sizes = [len(references_of(table, space, trials)) for trials in (3, 4, 5, 40)]
    assert sizes == [1, 2, REFERENCES, REFERENCES]


def test_budgets_that_begin_alike_are_one_search():
    policy, budgets = Policy(sampler="random"), (5, 20, 30)
    together = replay(bowl(), SPACE, policy, seeds=(3,), budgets=budgets)
    alone = [
        replay(bowl(), SPACE, policy, seeds=(3,), budgets=(each,)) for each in budgets
    ]
    assert together.regrets[0].tolist() == [each.regrets[0, 0] for each in alone]


def test_a_repeat_sees_the_kept_share_of_the_table_and_each_seed_another():
    found = []
    for seed in (0, 1, 0):
        kept = Search(
            table=bowl(),
            space=SPACE,
            policy=Policy(sampler="random"),
            seed=seed,
            keep=0.5,
        )
        found.append({each.place for each in kept.run(budget=40, first=())})
    assert found[0] == found[2] != found[1]
    assert all(10 < len(each) < 30 for each in found)
