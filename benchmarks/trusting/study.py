"""Studies made of a bank's trainings: searched, retested and judged as lrsearch does it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from trusting.bank import Bank

from lrsearch.answer import StudyVerdict, build_leaderboard, give_verdict
from lrsearch.values import (
    MOST_ROWS,
    Direction,
    Kind,
    Origin,
    RowScores,
    Setting,
    StudyFacts,
    TrialRecord,
    TrialState,
)

FACTS = StudyFacts(
    objective="val_loss",
    direction=Direction.MINIMIZE,
    metrics=("val_loss",),
    epochs=1,
    accumulation=1,
    steps_per_epoch={"None": 1},
    train_examples=None,
    validation_examples=None,
    has_test=False,
    parameters=1,
    yours=Setting(optimizer="sgd", learning_rate=1.0, schedule="linear", batch_size=None),
    exact_order=True,
    fingerprint={},
    versions={},
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """rows: of the validation split; None: the whole bank, and no row scores are kept.

    gain: by how much the first searched setting is made better than its bank says.
    """

    settings: int = 40
    rows: int | None = 90
    top: int = 3
    seeds: int = 3
    gain: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A study's verdict, and the truth. Costs and gains are over fresh rows and seeds.

    gain: the true gain of the challenger. picked: whether the setting that was made better is it.
    error: the standard error of the measured gain. covered: whether one more training of the
    challenger, on a fresh split, fell into the interval. missed, naive: the expected and the
    measured value less the truth.
    """

    verdict: StudyVerdict
    gain: float
    picked: bool
    retested: bool
    error: float
    covered: bool
    missed: float
    naive: float


class Simulation:
    """Draws splits, trainings and gains; `names` are the bank's settings of each trial."""

    def __init__(self, bank: Bank, names: list[int], plan: Plan, random: np.random.Generator):
        self.bank, self.names, self.plan, self.random = bank, names, plan, random
        self.split = self._draw_split()
        self.truth = bank.truth[names]
        self.truth[1] -= plan.gain
        self.scores: dict[int, dict[str, RowScores]] = {}
        self.used: set[tuple[int, int]] = set()

    def _draw_split(self) -> np.ndarray:
        count = self.bank.scores.shape[2]
        return self.random.integers(count, size=self.plan.rows or count)

    def train(self, trial: int, split: np.ndarray) -> np.ndarray:
        """The costs at a split of a training that this study has not seen."""
        name, seeds = self.names[trial], self.bank.scores.shape[1]
        seed = int(self.random.integers(seeds))
        while (name, seed) in self.used:
            seed = int(self.random.integers(seeds))
        self.used.add((name, seed))
        costs = self.bank.scores[name, seed, split]
        return costs - np.float32(self.plan.gain) if trial == 1 else costs

    def record(self, number: int, trial: int, repeat: int | None = None) -> TrialRecord:
        costs = self.train(trial, self.split)
        if self.plan.rows is not None:
            kept = costs[:MOST_ROWS]
            self.scores[number] = {
                "validation": RowScores(split="validation", values=kept, digest="", rows=len(costs))
            }
        retest = repeat is not None
        return TrialRecord(
            id=number,
            number=number,
            kind=Kind.RETEST if retest else Kind.SEARCH,
            origin=Origin.YOURS if trial == 0 else Origin.SAMPLED,
            state=TrialState.COMPLETE,
            setting=replace(FACTS.yours, learning_rate=1.0 + trial),
            seed=number,
            parent=trial if retest else None,
            repeat=repeat,
            value=float(costs.mean(dtype=float)),
        )

    def judge(self) -> Judged:
        search = [self.record(number, number) for number in range(self.plan.settings + 1)]
        best = sorted(search[1:], key=lambda each: each.final_value)[: self.plan.top]
        retested = [0, *(each.number for each in best)]
        number, records = len(search), list(search)
        for trial in retested:
            for repeat in range(self.plan.seeds):
                records.append(self.record(number, trial, repeat))
                number += 1
        leaderboard = build_leaderboard(FACTS, records)
        verdict = give_verdict(leaderboard, records, Direction.MINIMIZE, self.scores)
        return self._compare(verdict, retested=1 in retested)

    def _compare(self, verdict: StudyVerdict, *, retested: bool) -> Judged:
        challenger, gain = verdict.challenger, verdict.gain
        trial, expected = challenger.trial, verdict.expected[challenger.trial]
        one_more = float(self.train(trial, self._draw_split()).mean(dtype=float))
        low, high = expected.interval
        variance = gain.seeds_variance / self.plan.seeds + gain.rows_variance
        return Judged(
            verdict=verdict,
            gain=float(self.truth[0] - self.truth[trial]),
            picked=trial == 1,
            retested=retested,
            error=variance**0.5,
            covered=low <= one_more <= high,
            missed=expected.value - float(self.truth[trial]),
            naive=challenger.value - float(self.truth[trial]),
        )
