"""The table by optimizer: results, and at which rates training crawls, is good or diverges.

Knows records; nothing of retests. Yours is not counted: its optimizer may be none of
the space's.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from lrsearch.answer.ranking import rank_trials, searched
from lrsearch.values import Direction, Json, TrialRecord, Trials, TrialState

# of the way from the best's training loss back to the slowest's: a loss that ended
# above this did not get far
FAR = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerRow:
    """What the search learned of one optimizer."""

    optimizer: str
    trials: int  # that ended: complete, diverged, pruned or failed
    complete: int
    diverged: int
    pruned: int
    failed: int
    best: float | None
    # the best without the luck of the search; None where not known
    expected: float | None
    best_trial: int | None
    best_rate: float | None
    median: float | None  # of the complete ones
    # the highest rate that crawled below every rate that did not; None where there is
    # none
    crawls_to: float | None
    # the lowest diverged rate above every rate that held; None where there is none
    diverges_from: float | None
    # lowest and highest rate whose trial is within the tolerance of its best
    good_rates: tuple[float, float] | None

    def to_json(self) -> dict[str, Json]:
        return {
            **asdict(self),
            "good_rates": list(self.good_rates) if self.good_rates else None,
        }


def by_optimizer(
    records: Trials,
    direction: Direction,
    *,
    tolerance: float,
    expected: Mapping[str, float] = MappingProxyType({}),
) -> tuple[OptimizerRow, ...]:
    """A row for each optimizer that was tried, best first.

    Optimizers without a complete trial come last, by name. `tolerance` is how far below
    the best a value may lie and still count as good, in the objective's unit.
    """
    groups = ended_by_optimizer(records)
    slowest = _slowest([_complete(group) for group in groups.values()], direction)
    rows = [
        replace(
            _row(name, group, direction, tolerance, slowest),
            expected=expected.get(name),
        )
        for name, group in groups.items()
    ]

    def key(row: OptimizerRow) -> tuple[bool, float, str]:
        return row.best is None, direction.cost(row.best or 0.0), row.optimizer

    return tuple(sorted(rows, key=key))


def ended_by_optimizer(records: Iterable[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """The search trials that ended, by optimizer; without yours."""
    groups: dict[str, list[TrialRecord]] = defaultdict(list)
    for each in searched(records):
        if each.ended and each.setting:
            groups[each.setting.optimizer].append(each)
    return groups


def _row(
    name: str,
    group: Trials,
    direction: Direction,
    tolerance: float,
    slowest: float | None,
) -> OptimizerRow:
    state = {
        each: [record for record in group if record.state is each]
        for each in TrialState
    }
    complete, best = _complete(group), _best(group, direction)
    return OptimizerRow(
        optimizer=name,
        trials=len(group),
        complete=len(complete),
        diverged=len(state[TrialState.DIVERGED]),
        pruned=len(state[TrialState.PRUNED]),
        failed=len(state[TrialState.FAILED]),
        best=best.value if best else None,
        expected=None,
        best_trial=best.number if best else None,
        best_rate=best.peak_rate if best else None,
        median=statistics.median(each.final_value for each in complete)
        if complete
        else None,
        crawls_to=_crawls_to(complete, best, tolerance, slowest),
        diverges_from=_diverges_from(
            complete + state[TrialState.PRUNED], state[TrialState.DIVERGED]
        ),
        good_rates=_good_rates(complete, best, tolerance),
    )


def _diverges_from(held: Trials, diverged: Trials) -> float | None:
    highest = max((each.peak_rate for each in held), default=0.0)
    return min(
        (each.peak_rate for each in diverged if each.peak_rate > highest), default=None
    )


def _crawls_to(
    complete: Trials,
    best: TrialRecord | None,
    tolerance: float,
    slowest: float | None,
) -> float | None:
    if best is None or slowest is None:
        return None
    crawled = [
        each.peak_rate for each in complete if _crawled(each, best, tolerance, slowest)
    ]
    # the best's own is one
    lowest = min(
        each.peak_rate
        for each in complete
        if not _crawled(each, best, tolerance, slowest)
    )
    return max((rate for rate in crawled if rate < lowest), default=None)


def _crawled(
    record: TrialRecord, best: TrialRecord, tolerance: float, slowest: float
) -> bool:
    """Whether a rate was too small for the training to get far.

    Such a rate is lower than the best's, its value is worse, and its last training loss
    lies far from the best's towards the study's slowest. A worse value alone may be
    luck, overfitting, or another schedule.
    """
    loss, reached = record.logs.get("loss"), best.logs.get("loss")
    if loss is None or reached is None or record.peak_rate >= best.peak_rate:
        return False
    return abs(
        record.final_value - best.final_value
    ) > tolerance and loss > reached + FAR * (slowest - reached)


def _slowest(groups: Iterable[Trials], direction: Direction) -> float | None:
    """The highest last training loss of trials with a rate below their optimizer's best.

    About there training begins.
    """
    losses: list[float] = []
    for group in groups:
        best = _best(group, direction)
        lower = [
            each
            for each in group
            if best is not None and each.peak_rate < best.peak_rate
        ]
        losses += [
            each.logs["loss"]
            for each in lower
            if "loss" in each.logs and math.isfinite(each.logs["loss"])
        ]
    return max(losses, default=None)


def _complete(group: Trials) -> list[TrialRecord]:
    return [each for each in group if each.has_value]


def _best(group: Trials, direction: Direction) -> TrialRecord | None:
    return next(iter(rank_trials(group, direction)), None)


def _good_rates(
    complete: Trials, best: TrialRecord | None, tolerance: float
) -> tuple[float, float] | None:
    """The range of rates that still does well: the sensitivity of Wortsman et al. (2023)."""
    if best is None:
        return None
    good = [
        each.peak_rate
        for each in complete
        if abs(each.final_value - best.final_value) <= tolerance
    ]
    return min(good), max(good)
