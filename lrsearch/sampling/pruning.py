"""When to stop a trial early: rules that look at an epoch's objective beside the other trials' at
the same epoch.

Pure functions of numbers. Who may be pruned at all is the caller's business: trial 0 (yours),
references that answers are held against and retests never are. A rung before the rate has risen for
the last time (`space.rise_of`: warm-up, one_cycle's rise, cyclic shapes and restarts throughout) is
not looked at, nor compared with: its value is not comparable with that of a schedule that is past
its own rise (stop-only halving on such values kept the true best 0 of 20 times).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from lrsearch.choices import check_choice
from lrsearch.errors import InvalidValue
from lrsearch.values import Direction, Verdict

REDUCTION: Final = 3  # asha and hyperband keep about one trial in three at a rung
ENOUGH: Final = 5  # the median of fewer values than this stops nobody

Rungs: TypeAlias = Callable[[int, int], Sequence[int]]
"""(epochs, trial number) -> epochs to look at, before the rise of the rate is considered."""
Worse: TypeAlias = Callable[[float, Sequence[float], Direction], bool]
"""(value, the others' values, direction) -> whether the trial should stop."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PruneRule:
    """A named rule for a study of `epochs` epochs."""

    name: str
    epochs: int
    direction: Direction
    _rungs: Rungs
    _worse: Worse

    def rungs(self, number: int, rise: float) -> frozenset[int]:
        """The epochs (1-based, finished) at which trial `number` is looked at: past its rise, a
        fraction of the run, and before its last epoch.
        """
        first = rise * self.epochs
        return frozenset(
            epoch for epoch in self._rungs(self.epochs, number) if first < epoch < self.epochs
        )

    def verdict(self, epoch: int, value: float, others: Sequence[float]) -> Verdict:
        """Whether a trial with `value` at a rung goes on.

        `others` are values at that same epoch; its own may be among them.

        The epoch itself plays no part: all rungs are judged alike.
        """
        del epoch
        return Verdict.PRUNE if self._worse(value, others, self.direction) else Verdict.KEEP


def pruning_rule(name: str, *, epochs: int, direction: Direction) -> PruneRule:
    """The rule `name` of `PRUNERS`; raises UnknownName, InvalidValue where `epochs` is below 1."""
    check_choice("pruner", name)
    if epochs < 1:
        raise InvalidValue("epochs", got=epochs, allowed="at least 1")
    rungs, worse = PRUNERS[name]
    return PruneRule(name=name, epochs=epochs, direction=direction, _rungs=rungs, _worse=worse)


def _no_rungs(epochs: int, number: int) -> Sequence[int]:
    del epochs, number
    return ()


def _every_epoch(epochs: int, number: int) -> Sequence[int]:
    del number
    return range(1, epochs)


def _halving(epochs: int, number: int) -> Sequence[int]:
    """..., a ninth and a third of the run, down to one epoch; ascending."""
    del number
    found, share = [], REDUCTION
    while epochs / share >= 1:
        found.append(round(epochs / share))
        share *= REDUCTION
    return sorted(set(found))


def _brackets(epochs: int, number: int) -> Sequence[int]:
    """Bracket `number % count` leaves out that many of the early rungs; the last bracket is never
    looked at.

    Li et al. (2018), Hyperband: a hedge against early values that mislead. Brackets share the
    values at a rung.
    """
    rungs = _halving(epochs, number)
    return rungs[number % (len(rungs) + 1) :]


def _never(value: float, others: Sequence[float], direction: Direction) -> bool:
    del value, others, direction
    return False


def _below_median(value: float, others: Sequence[float], direction: Direction) -> bool:
    """Golovin et al. (2017), the median stopping rule, on the values of this epoch alone."""
    return len(others) >= ENOUGH and direction.better(statistics.median(others), value)


def _outside_top_share(value: float, others: Sequence[float], direction: Direction) -> bool:
    """Li et al. (2020), ASHA's stopping form: goes on while in the best third of those seen; ties
    go on.
    """
    seen = len(others) + (value not in others)
    ahead = sum(direction.better(other, value) for other in others)
    return seen >= REDUCTION and ahead >= seen // REDUCTION


PRUNERS: dict[str, tuple[Rungs, Worse]] = {
    "none": (_no_rungs, _never),
    "median": (_every_epoch, _below_median),
    "asha": (_halving, _outside_top_share),
    "hyperband": (_brackets, _outside_top_share),
}
