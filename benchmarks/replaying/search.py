"""One search on a table: the product's own sampler and stopping rule, with the table as trainer.

A proposal is answered by the nearest setting of the table that was not trained yet. The
sampler sees that setting's own values and nothing else. Trials end one after another,
as with one worker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from replaying.table import Table

from lrsearch import SearchSpace
from lrsearch.answer import retest_candidates
from lrsearch.sampling import (
    RunAtRung,
    make_sampler,
    pruning_rule,
    rank_by_expectation,
)
from lrsearch.sampling.pruning import PruneRule
from lrsearch.space import OPTIMIZERS, rise_of
from lrsearch.values import (
    Direction,
    Kind,
    Origin,
    Setting,
    TrialRecord,
    TrialState,
    Verdict,
)

# Distances of settings, in units in which one is clearly another training.
_DECADES, _FRACTION, _DECAY_START, _OTHER_BATCH = 0.15, 0.1, 0.3, 4.0
RETESTED = 3
_KEPT = 11  # sets the chance of `keep` apart from that of samplers
# Another shape of schedule, and another optimizer, which comes only when nothing else
# is left.
_OTHER_SHAPE, _OTHER_OPTIMIZER = 3.0, 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What is compared: a sampler and a stopping rule, by the names that users choose, and a pick."""

    sampler: str
    pruner: str = "none"
    # whether the values alone choose what is retested, as they did before a model did
    by_values: bool = False

    @property
    def name(self) -> str:
        pruner = "" if self.pruner == "none" else f" + {self.pruner}"
        return f"{self.sampler}{pruner}{', by values' * self.by_values}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A trial that ended. Costs are in full runs, of all trials so far, this one included."""

    place: int  # in the table
    paid: float
    unstopped: float  # what the same trials would have cost without a stopping rule
    state: TrialState
    # of the three settings that would be retested now, the best by its retests
    pick: int | None


@dataclass(kw_only=True, eq=False)
class Search:
    """A search in progress; `steps` is what it did.

    keep: the share of the table's settings that are there, drawn by the seed. With all
    of them a sampler that hardly depends on chance takes nearly the same way in every
    repeat.
    """

    table: Table
    space: SearchSpace
    policy: Policy
    seed: int
    keep: float = 1.0
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        table, policy = self.table, self.policy
        self._proposer = make_sampler(
            policy.sampler, self.space, direction=table.direction, seed=self.seed
        )
        self._rule: PruneRule = pruning_rule(
            policy.pruner,
            epochs=table.epochs,
            direction=table.direction,
            seed=self.seed,
        )
        there = (
            np.random.default_rng([self.seed, _KEPT]).random(len(table.settings))
            < self.keep
        )
        self._neighbours = Neighbours(table.settings, there)
        # Values at an epoch of all who reached it, and how those who ended did, by
        # number.
        self._reached: dict[int, dict[int, float]] = {}
        self._finals: dict[int, float | None] = {}
        self._paid, self._unstopped = 0.0, 0.0
        self._records: list[TrialRecord] = []
        self._places: list[int] = []  # in the table, by the trials' numbers
        self._answers = _answers(table)

    def run(self, *, budget: float, first: tuple[Setting, ...]) -> list[Step]:
        """Search until `budget` full runs are paid or the table is spent; `first` come first."""
        wanted = iter(first)
        while self._paid < budget and self._neighbours.left:
            number = len(self.steps)
            reference = next(wanted, None)
            setting = self._proposer.propose(number) if reference is None else reference
            origin = Origin.SAMPLED if reference is None else Origin.REFERENCE
            self._train(number, self._neighbours.take(setting), origin)
        return self.steps

    def _train(self, number: int, place: int, origin: Origin) -> None:
        epochs, state = self._length(number, place, may_stop=origin is Origin.SAMPLED)
        table = self.table
        self._paid += epochs / table.epochs
        self._unstopped += self._full_length(place) / table.epochs
        value = float(table.values[place])
        complete = state is TrialState.COMPLETE
        if state is not TrialState.PRUNED:
            self._finals[number] = value if complete else None
        record = TrialRecord(
            id=number,
            number=number,
            kind=Kind.SEARCH,
            origin=origin,
            state=state,
            setting=table.settings[place],
            seed=1,
            value=value if complete else None,
            last_value=_finite(table.curves[place, epochs - 1]),
            epochs=epochs,
        )
        self._records.append(record)
        self._proposer.observe([record])
        self._places.append(place)
        self.steps.append(
            Step(
                place=place,
                paid=self._paid,
                unstopped=self._unstopped,
                state=state,
                pick=self._pick(),
            )
        )

    def _pick(self) -> int | None:
        """The answer: what every study retests, compared by their retests."""
        records, direction = self._records, self.table.direction
        expected: Sequence[int] = ()
        if not self.policy.by_values:
            expected = rank_by_expectation(self.space, records, direction)
        leaders = retest_candidates(records, direction, top=RETESTED, expected=expected)
        return min(
            (self._places[number] for number in leaders),
            key=lambda place: self._answers[place],
            default=None,
        )

    def _length(
        self, number: int, place: int, *, may_stop: bool
    ) -> tuple[int, TrialState]:
        """How many epochs the trial trains, and how it ends."""
        curve = self.table.curves[place]
        rungs = self._rule.rungs(number, rise_of(self.table.settings[place]))
        for epoch in range(1, self.table.epochs + 1):
            value = curve[epoch - 1]
            if not math.isfinite(value):
                return epoch, TrialState.DIVERGED
            if epoch in rungs:
                self._reached.setdefault(epoch, {})[number] = value
                stops = self._rule.verdict(value, self._seen(epoch)) is Verdict.PRUNE
                if stops and may_stop and not self._rule.is_control(number):
                    return epoch, TrialState.PRUNED
        ended = math.isfinite(self.table.values[place])
        return self.table.epochs, TrialState.COMPLETE if ended else TrialState.DIVERGED

    def _seen(self, epoch: int) -> list[RunAtRung]:
        """All who reached the rung, as a worker reads them from the ledger."""
        return [
            RunAtRung(
                value=value,
                ended=number in self._finals,
                final=self._finals.get(number),
            )
            for number, value in self._reached[epoch].items()
        ]

    def _full_length(self, place: int) -> int:
        """How many epochs the setting trains where nothing stops it."""
        ended = np.flatnonzero(~np.isfinite(self.table.curves[place]))
        return int(ended[0]) + 1 if len(ended) else self.table.epochs


def _answers(table: Table) -> np.ndarray:
    """(n,) float64, lower is better: what retests say of each setting, else its own value."""
    retests = np.isfinite(table.retests).sum(axis=1)
    means = np.nansum(table.retests, axis=1) / np.maximum(retests, 1)
    answers = np.where(retests > 0, means, table.values)
    return -answers if table.direction is Direction.MAXIMIZE else answers


class Neighbours:
    """The settings of a table that are left, by their distance from any other."""

    def __init__(
        self, settings: tuple[Setting, ...], there: np.ndarray | None = None
    ) -> None:
        """`there`: (n,) bool, the settings that may be taken; all of them by default."""
        self._points = np.array([_point(each) for each in settings])  # (n, 7)
        self._taken = np.zeros(len(settings), dtype=bool) if there is None else ~there

    @property
    def left(self) -> bool:
        return not self._taken.all()

    def take(self, setting: Setting) -> int:
        """The place of the nearest one, which is gone afterwards."""
        away = self._points - np.array(_point(setting))
        away[:, :2] = (away[:, :2] != 0) * (_OTHER_OPTIMIZER, _OTHER_SHAPE)
        distance = np.abs(away).sum(axis=1)
        distance[self._taken] = np.inf
        place = int(distance.argmin())
        self._taken[place] = True
        return place


_NAMES = {name: float(place) for place, name in enumerate(OPTIMIZERS)}
_SHAPES = {"constant": 0.0, "linear": 1.0, "cosine": 2.0, "warmup_stable_decay": 3.0}


def _point(setting: Setting) -> list[float]:
    """Optimizer and shape as numbers; the others in units of a clear difference."""
    shape = setting.shape
    return [
        _NAMES[setting.optimizer],
        _SHAPES[setting.schedule],
        math.log10(setting.learning_rate) / _DECADES,
        shape.get("warmup", 0.0) / _FRACTION,
        shape.get("final", 0.0) / _FRACTION,
        shape.get("decay_start", 0.0) / _DECAY_START,
        math.log2(setting.batch_size or 1) * _OTHER_BATCH,
    ]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
