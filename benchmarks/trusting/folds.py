"""Studies with folds on real rows: gradient descent on random features, in closed form.

A setting is a learning rate, a seed draws the features. Full-batch gradient descent on
a squared error has a closed form in the eigenvectors of the features' second moments,
so a training takes a millisecond. A study draws its rows from a data set of
scikit-learn and divides them; the truth is the mean over many other draws of as many
training rows, judged on all other rows. The rows of `clinics` are made: they come in
groups that are as hard for a good setting as for a poor one, in proportion, so that the
costs of settings differ by factors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from trusting.retested import RATES_SPACE, choose_retested, settings_of
from trusting.study import FACTS, Judged

from lrsearch.answer import build_leaderboard, give_verdict
from lrsearch.values import Direction, Kind, Origin, TrialRecord, TrialState

HIDDEN = 48
STEPS = 100
SETTINGS = 40
TOP = 3
DRAWS = 1000  # of the truth
RATES = np.geomspace(0.002, 0.95, SETTINGS)  # of the largest that does not diverge
SETTINGS_OF_TASKS = settings_of(RATES)
# where all trials train one setting, yours included, these are their names
NAMES_OF_ONE = settings_of(np.geomspace(0.002, 0.95, SETTINGS + 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldTask:
    """x: (rows, inputs), of mean 0 and deviation 1. y: (rows, outputs); classes are one-hot.

    group: so many rows after each other stay in one fold.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    rows: int  # of a study
    cost: str  # of a row: absolute, squared, or wrong
    group: int = 1

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """The rows in a random order, those of a group together."""
        starts = self.group * random.permutation(len(self.x) // self.group)
        return (starts[:, None] + np.arange(self.group)).ravel()


@cache
def fold_tasks() -> dict[str, FoldTask]:
    """Three classifications and two regressions."""
    x, y = load_diabetes(return_X_y=True)
    found = [_task("diabetes", x, (y[:, None] - y.mean()) / y.std(), 120, "absolute")]
    for name, load, rows, cost in (
        ("digits", load_digits, 300, "wrong"),
        ("cancer", load_breast_cancer, 120, "squared"),
        ("wine", load_wine, 75, "squared"),
    ):
        x, y = load(return_X_y=True)
        found.append(_task(name, x, np.eye(y.max() + 1)[y], rows, cost))
    return {each.name: each for each in (*found, _clinics())}


def _clinics() -> FoldTask:
    """120 groups of 15 rows; the numbers of each are in a unit of its own."""
    random = np.random.default_rng(3)
    units = np.repeat(np.exp(0.4 * random.normal(size=120)), 15)
    x = units[:, None] * random.normal(size=(1800, 4))
    noise = units * random.normal(size=1800)
    y = (x[:, 0] + x[:, 1] + 0.1 * noise)[:, None]
    return FoldTask(
        name="clinics", x=x, y=y / y.std(), rows=120, cost="squared", group=15
    )


def _task(name: str, x: np.ndarray, y: np.ndarray, rows: int, cost: str) -> FoldTask:
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return FoldTask(name=name, x=x, y=y.astype(float), rows=rows, cost=cost)


def train(
    task: FoldTask,
    train_rows: np.ndarray,
    held: np.ndarray,
    rates: np.ndarray,
    random: np.random.Generator,
    *,
    luck: float = 1.0,
) -> np.ndarray:
    """(len(rates), len(held)) costs of the held rows, of trainings on one seed.

    luck: how far a seed's features differ from the usual ones, 0 to 1.
    """
    inputs = task.x.shape[1]
    usual = np.random.default_rng(5).normal(size=(inputs + 1, HIDDEN))
    drawn = np.sqrt(1 - luck**2) * usual + luck * random.normal(
        size=(inputs + 1, HIDDEN)
    )
    hidden = task.x[np.concatenate([train_rows, held])] @ drawn[1:] / np.sqrt(inputs)
    hidden = np.maximum(hidden + drawn[0] / 2, 0)
    hidden = np.hstack([hidden, np.ones((len(hidden), 1))])
    h, y = hidden[: len(train_rows)], task.y[train_rows]
    values, vectors = np.linalg.eigh(h.T @ h / len(h))
    values = np.maximum(values, 1e-9 * values[-1])
    aim = vectors.T @ (h.T @ y / len(h))
    steps = 2 * rates[:, None] / values[-1]
    kept = (1 - (1 - steps * values) ** STEPS) / values  # (rates, features)
    out = hidden[len(train_rows) :] @ vectors @ (kept[:, :, None] * aim)
    return _costs(task, out, held)


def _costs(task: FoldTask, out: np.ndarray, held: np.ndarray) -> np.ndarray:
    y = task.y[held]
    if task.cost == "wrong":
        return (out.argmax(axis=-1) != y.argmax(axis=-1)).astype(float)
    error = out - y
    return (np.abs(error) if task.cost == "absolute" else error**2).mean(axis=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """costs: (settings,) means over fresh rows and seeds. seed_variance: (settings,) of
    a training by its seed; deviation: (settings, settings) sqrt(s^2 + r^2), r by the
    rows of one fold.
    """

    costs: np.ndarray
    deviation: np.ndarray


@cache
def truth_of(name: str, folds: int, luck: float) -> Truth:
    """What a task's settings are worth with the training rows of so many folds, and this luck."""
    task, random = fold_tasks()[name], np.random.default_rng(7)
    held = task.rows // folds
    values, seeds, whole = [], [], []
    for _ in range(DRAWS):
        rows = task.draw(random)
        chosen, rest = rows[: task.rows - held], rows[task.rows - held :]
        one, other = (
            train(task, chosen, rest, RATES, random, luck=luck) for _ in range(2)
        )
        whole.append((one.mean(axis=1) + other.mean(axis=1)) / 2)
        values.append(one[:, :held].mean(axis=1))
        seeds.append(
            (one[:, :held].mean(axis=1) - other[:, :held].mean(axis=1)) ** 2 / 2
        )
    found, by_seed = np.array(values), np.mean(seeds, axis=0)
    apart = found[:, :, None] - found[:, None, :]
    # one seed draws the features of both, so that what is left of a difference is rows,
    # and seeds
    deviation = np.sqrt(apart.var(axis=0) + (by_seed[:, None] + by_seed) / 2)
    return Truth(costs=np.mean(whole, axis=0), deviation=deviation)


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """What a study is made of.

    same: all settings are one. level: all are moved to the same truth. gain: by how
    many combined deviations the first is made better. poor: yours is the lowest rate.
    few: the search has three settings, of which the first is yours and the others
    hardly train.
    """

    task: str
    folds: int = 5
    rounds: int = 1
    same: bool = False
    level: bool = False
    gain: float = 0.0
    poor: bool = False
    few: bool = False
    luck: float = 1.0


def _factor(cost: float, gain: float) -> float:
    """By what a cost must be worse for this gain, whose combined deviation it raises, too."""
    part = (gain / cost) ** 2 / 2
    assert part < 1, "no factor does"
    return float((1 + np.sqrt(1 - (1 - part) ** 2)) / (1 - part))


class FoldSimulation:
    """One study: its rows, its trainings, its verdict."""

    def __init__(self, plan: FoldPlan, random: np.random.Generator):
        self.plan, self.random = plan, random
        self.task = fold_tasks()[plan.task]
        truth = truth_of(plan.task, plan.folds, plan.luck)
        self.names = self._draw_names()
        self.truth = truth.costs[self.names]
        if plan.same:
            order = random.permutation(len(self.names))
            self.settings = [NAMES_OF_ONE[place] for place in order]
        else:
            self.settings = [SETTINGS_OF_TASKS[name] for name in self.names]
            # yours was moved, so that it is no setting of the search
            self.settings[0] = replace(self.settings[0], learning_rate=1.0)
        self.moved = np.zeros(len(self.names))
        if plan.level:
            self.moved = truth.costs.mean() - self.truth
        gain = plan.gain * truth.deviation[self.names[0], self.names[1]]
        # costs that differ by factors stay above 0: yours is made worse, and by a
        # factor
        self.factor = _factor(self.truth[1], gain) if plan.few else 1.0
        if not plan.few:
            self.moved[1] -= gain
        self.truth = self.truth + self.moved
        self.truth[0] *= self.factor
        self.parts = np.array_split(self._draw_rows(), plan.folds)

    def _draw_names(self) -> np.ndarray:
        if self.plan.same:
            return np.full(SETTINGS + 1, SETTINGS // 2)
        if self.plan.few:
            good = 3 * SETTINGS // 4
            return np.array(
                [good, good, *self.random.choice(SETTINGS // 4, 2, replace=False)]
            )
        names = self.random.permutation(SETTINGS)
        first = 0 if self.plan.poor else self.random.integers(SETTINGS)
        return np.array([first, *names])

    def _draw_rows(self) -> np.ndarray:
        return self.task.draw(self.random)[: self.task.rows]

    def cost(self, trial: int, fold: int, parts: list[np.ndarray]) -> float:
        """The cost of a training on a fresh seed."""
        rest = np.concatenate(
            [each for place, each in enumerate(parts) if place != fold]
        )
        rates = RATES[[self.names[trial]]]
        costs = train(
            self.task, rest, parts[fold], rates, self.random, luck=self.plan.luck
        )
        factor = self.factor if trial == 0 else 1.0
        return float(factor * costs.mean() + self.moved[trial])

    def record(self, number: int, trial: int, repeat: int | None = None) -> TrialRecord:
        fold = (repeat or 0) % self.plan.folds
        return TrialRecord(
            id=number,
            number=number,
            kind=Kind.SEARCH if repeat is None else Kind.RETEST,
            origin=Origin.YOURS if trial == 0 else Origin.SAMPLED,
            state=TrialState.COMPLETE,
            setting=self.settings[trial],
            seed=number if repeat is None else 1000 + repeat,
            parent=None if repeat is None else trial,
            repeat=repeat,
            value=self.cost(trial, fold, self.parts),
        )

    def judge(self) -> Judged:
        folds = self.plan.folds
        records = [self.record(number, number) for number in range(len(self.names))]
        for trial in (0, *choose_retested(records, RATES_SPACE, TOP)):
            for repeat in range(folds * self.plan.rounds):
                records.append(self.record(len(records), trial, repeat))
        facts = replace(FACTS, folds=folds, fold_ratio=1 / (folds - 1))
        board = build_leaderboard(facts, records)
        verdict = give_verdict(board, records, Direction.MINIMIZE)
        return self._compare(
            verdict, retested=any(each.parent == 1 for each in records)
        )

    def _compare(self, verdict, *, retested: bool) -> Judged:
        challenger, gain = verdict.challenger, verdict.gain
        trial, expected = challenger.trial, verdict.expected[challenger.trial]
        fresh = np.array_split(self._draw_rows(), self.plan.folds)
        low, high = expected.interval
        return Judged(
            verdict=verdict,
            gain=float(self.truth[0] - self.truth[trial]),
            picked=trial == 1,
            retested=retested,
            error=(gain.seeds_variance / challenger.seeds + gain.rows_variance) ** 0.5,
            covered=low <= self.cost(trial, 0, fresh) <= high,
            missed=expected.value - float(self.truth[trial]),
            naive=challenger.value - float(self.truth[trial]),
        )


def simulate(plan: FoldPlan, simulations: int) -> Iterator[Judged]:
    random = np.random.default_rng(11)
    for _ in range(simulations):
        yield FoldSimulation(plan, random).judge()


def fold_plans() -> Iterator[tuple[str, FoldPlan]]:
    """The cases of the table, by name: seeds that matter much, and seeds that matter little."""
    for task in list(fold_tasks())[:4]:
        for luck, noise in ((1.0, "seeds"), (0.2, "rows")):
            where, plan = f"{task}, 5 folds, {noise}", FoldPlan(task=task, luck=luck)
            same = replace(plan, same=True)
            yield f"{where}: all are yours", same
            yield f"{where}: 40 settings, equal on average", replace(plan, level=True)
            yield f"{where}: gain of 3, others are yours", replace(same, gain=3)
            yield f"{where}: settings as they are", plan
    for luck, noise in ((1.0, "seeds"), (0.2, "rows")):
        where, plan = f"wine, 5 folds, {noise}", FoldPlan(task="wine", luck=luck)
        yield f"{where}: as they are, yours is the slowest", replace(plan, poor=True)
        yield (
            f"{where}, each twice: gain of 3",
            replace(plan, same=True, gain=3, rounds=2),
        )
    for luck, noise in ((1.0, "seeds"), (0.2, "rows")):
        where = f"clinics, 4 folds, {noise}"
        plan = FoldPlan(task="clinics", folds=4, luck=luck)
        yield f"{where}: settings as they are", plan
        yield f"{where}: as they are, yours is the slowest", replace(plan, poor=True)
        yield f"{where}: one is yours, two hardly train", replace(plan, few=True)
    # a seed that draws all features makes such noise that no factor is a gain of three
    yield (
        f"{where}: gain of 3, two others hardly train",
        replace(plan, few=True, gain=3),
    )
    for folds in (3, 10):
        plan = FoldPlan(task="diabetes", folds=folds, luck=0.2)
        yield f"diabetes, {folds} folds, rows: all are yours", replace(plan, same=True)
        yield (
            f"diabetes, {folds} folds, rows: 40 settings, equal on average",
            replace(plan, level=True),
        )
