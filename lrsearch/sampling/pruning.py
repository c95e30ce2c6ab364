"""When to stop a trial early: rules that compare its objective with others' at the same epoch.

`auto` learns from the study's own full runs (`learned_stopping.py`); the others are
fixed rules. Pure functions of numbers. The caller decides who may be pruned at all:
trial 0 (yours), references and retests never are, since answers are compared with them.
A rung is looked at only after the rate has risen for the last time (`space.rise_of`:
warm-up, one_cycle's rise, cyclic shapes and restarts throughout). Before that, a value
does not compare with that of a schedule past its own rise: stop-only halving on such
values kept the true best 0 of 20 times.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final, TypeAlias, final

from lrsearch.choices import check_choice
from lrsearch.errors import InvalidValue
from lrsearch.sampling.learned_stopping import (
    RunAtRung,
    is_control,
    is_too_far_behind,
    learned_rungs,
)
from lrsearch.values import Direction, Verdict

REDUCTION: Final = 3  # asha and hyperband keep about one trial in three at a rung
LEARNED: Final = "auto"
ENOUGH: Final = 5  # with fewer values than this, the median stops no trial

Rungs: TypeAlias = Callable[[int, int], Sequence[int]]
"""(epochs, trial number) -> epochs to look at, before the rise of the rate is considered."""
Worse: TypeAlias = Callable[[float, Sequence[RunAtRung], Direction], bool]
"""(value, all who reached the rung, direction) -> whether the trial should stop."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PruneRule:
    """One rule of `PRUNERS` for a study of `epochs` epochs."""

    name: str
    epochs: int
    direction: Direction
    seed: int  # the study's: draws the controls
    _rungs: Rungs
    _worse: Worse

    def rungs(self, number: int, rise: float) -> frozenset[int]:
        """The finished epochs (from 1) at which trial `number` is looked at.

        They lie after its `rise`, a fraction of the run, and before its last epoch.
        """
        first = rise * self.epochs
        return frozenset(
            epoch
            for epoch in self._rungs(self.epochs, number)
            if first < epoch < self.epochs
        )

    @property
    def compares_running(self) -> bool:
        """Whether trials that still run are compared with, too.

        The learned rule asks the ended ones alone. When a running one's values are
        written depends on the clock, and one worker shall repeat a study.
        """
        return self.name != LEARNED

    def is_control(self, number: int) -> bool:
        """Whether trial `number` runs on whatever the verdict is, so that the rule is checked."""
        return self.name == LEARNED and is_control(self.seed, number)

    def verdict(self, value: float, others: Sequence[RunAtRung]) -> Verdict:
        """Whether a trial with `value` at a rung goes on.

        `others` are all who reached the same epoch, the trial itself among them.
        """
        return (
            Verdict.PRUNE
            if self._worse(value, others, self.direction)
            else Verdict.KEEP
        )


def pruning_rule(
    name: str, *, epochs: int, direction: Direction, seed: int = 0
) -> PruneRule:
    """The rule `name` of `PRUNERS`; raises UnknownName, InvalidValue where `epochs` is below 1."""
    check_choice("pruner", name)
    if epochs < 1:
        raise InvalidValue("epochs", got=epochs, allowed="at least 1")
    rungs, worse = PRUNERS[name]
    return PruneRule(
        name=name,
        epochs=epochs,
        direction=direction,
        seed=seed,
        _rungs=rungs,
        _worse=worse,
    )


def _every_epoch(epochs: int, _number: int) -> Sequence[int]:
    return range(1, epochs)


def _halving(epochs: int, _number: int) -> Sequence[int]:
    """..., a ninth and a third of the run, down to one epoch; ascending."""
    shares = takewhile(
        lambda share: share <= epochs, (REDUCTION**power for power in count(1))
    )
    return sorted({round(epochs / share) for share in shares})


def _brackets(epochs: int, number: int) -> Sequence[int]:
    """The rungs of bracket `number % count`: without so many of the early ones.

    Li et al. (2018), Hyperband: a hedge against early values that mislead. Brackets
    share the values at a rung. The last bracket has no rung.
    """
    rungs = _halving(epochs, number)
    return rungs[number % (len(rungs) + 1) :]


def _below_median(
    value: float, others: Sequence[RunAtRung], direction: Direction
) -> bool:
    """Golovin et al. (2017), the median stopping rule, on the values of this epoch alone."""
    values = [each.value for each in others]
    return len(values) >= ENOUGH and direction.better(statistics.median(values), value)


def _outside_top_share(
    value: float, others: Sequence[RunAtRung], direction: Direction
) -> bool:
    """Li et al. (2020), ASHA's stopping form: the best third so far goes on, ties included."""
    ahead = sum(direction.better(each.value, value) for each in others)
    return len(others) >= REDUCTION and ahead >= len(others) // REDUCTION


PRUNERS: dict[str, tuple[Rungs, Worse]] = {
    LEARNED: (lambda epochs, _number: learned_rungs(epochs), is_too_far_behind),
    "none": (lambda _epochs, _number: (), lambda _value, _others, _direction: False),
    "median": (_every_epoch, _below_median),
    "asha": (_halving, _outside_top_share),
    "hyperband": (_brackets, _outside_top_share),
}
