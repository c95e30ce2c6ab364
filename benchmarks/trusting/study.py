"""Studies made of a bank's trainings: searched, retested and judged as lrsearch does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from trusting.bank import Bank
from trusting.retested import RATES_SPACE, choose_retested

from lrsearch import SearchSpace
from lrsearch.answer import StudyVerdict, build_leaderboard, give_verdict, next_retests
from lrsearch.sampling import rank_by_expectation
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
    yours=Setting(
        optimizer="sgd", learning_rate=1.0, schedule="linear", batch_size=None
    ),
    exact_order=True,
    fingerprint={},
    versions={},
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """rows: of the validation split; None: the whole bank, and no row scores are kept.

    gain: by how much the first searched setting is made better than its bank says.
    total: retests of a race, as `lrsearch retest --total` has; 0: `top` settings and
    yours on `seeds` each.
    """

    settings: int = 40
    rows: int | None = 90
    top: int = 3
    seeds: int = 3
    gain: float = 0.0
    total: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A study's verdict, and the truth. Costs and gains are over fresh rows and seeds.

    gain: the true gain of the challenger. picked: whether the setting that was made
    better is it. error: the standard error of the measured gain. covered: whether one
    more training of the challenger, on a fresh split, fell into the interval. missed,
    naive: the expected and the measured value less the truth.
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
    """Draws splits, trainings and gains.

    names: the bank's places of each trial. settings: what each trial trains, as the
    model of the search in `space` sees it.
    """

    def __init__(
        self,
        bank: Bank,
        names: list[int],
        plan: Plan,
        random: np.random.Generator,
        settings: Sequence[Setting],
        space: SearchSpace = RATES_SPACE,
    ):
        self.bank, self.names, self.plan, self.random = bank, names, plan, random
        self.settings, self.space = settings, space
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
                "validation": RowScores(
                    split="validation", values=kept, digest="", rows=len(costs)
                )
            }
        retest = repeat is not None
        return TrialRecord(
            id=number,
            number=number,
            kind=Kind.RETEST if retest else Kind.SEARCH,
            origin=Origin.YOURS if trial == 0 else Origin.SAMPLED,
            state=TrialState.COMPLETE,
            setting=self.settings[trial],
            seed=number,
            parent=trial if retest else None,
            repeat=repeat,
            value=float(costs.mean(dtype=float)),
        )

    def judge(self) -> Judged:
        records = [
            self.record(number, number) for number in range(self.plan.settings + 1)
        ]
        if self.plan.total:
            self._race(records)
        else:
            best = choose_retested(records, self.space, self.plan.top)
            self._retest(records, product([0, *best], range(self.plan.seeds)))
        board = build_leaderboard(FACTS, records)
        verdict = give_verdict(board, records, Direction.MINIMIZE, self.scores)
        return self._compare(
            verdict, retested=any(each.parent == 1 for each in records)
        )

    def _retest(
        self, records: list[TrialRecord], pairs: Iterable[tuple[int, int]]
    ) -> None:
        for trial, repeat in pairs:
            records.append(self.record(len(records), trial, repeat))

    def _race(self, records: list[TrialRecord]) -> None:
        """Retest the leader and its challenger until they are told apart, or all is spent."""
        last = len(records) + self.plan.total
        down, searched = Direction.MINIMIZE, records[: self.plan.settings + 1]
        expected = rank_by_expectation(self.space, searched, down)
        while len(records) < last:
            board, left = build_leaderboard(FACTS, records), last - len(records)
            pairs = next_retests(board, records, down, left=left, expected=expected)
            if not pairs:
                return
            self._retest(records, pairs)

    def _compare(self, verdict: StudyVerdict, *, retested: bool) -> Judged:
        challenger, gain = verdict.challenger, verdict.gain
        trial, expected = challenger.trial, verdict.expected[challenger.trial]
        one_more = float(self.train(trial, self._draw_split()).mean(dtype=float))
        low, high = expected.interval
        variance = gain.seeds_variance / challenger.seeds + gain.rows_variance
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
