"""The table by optimizer: best, median, up to which rate training crawls, how wide the good rates
are, from where it diverges.

Knows records; nothing of retests. Yours is not counted: its optimizer may be none of the space's.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from lrsearch.values import Direction, Json, Kind, Origin, TrialRecord, TrialState

# of the way from the best's training loss back to the slowest's: a loss that ended above this did
# not get far
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
    best_trial: int | None
    best_rate: float | None
    median: float | None  # of the complete ones
    # the highest rate that crawled below every rate that did not; None where there is none
    crawls_to: float | None
    # the lowest diverged rate above every rate that held; None where there is none
    diverges_from: float | None
    # lowest and highest rate whose trial is within the tolerance of its best
    good_rates: tuple[float, float] | None

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "good_rates": list(self.good_rates) if self.good_rates else None}


def by_optimizer(
    records: Sequence[TrialRecord], direction: Direction, *, tolerance: float
) -> tuple[OptimizerRow, ...]:
    """A row for each optimizer that was tried, best first; those without a complete trial last, by
    name.

    `tolerance` is how far below the best a value may lie and still count as good, in the
    objective's unit.
    """
    groups: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in records:
        if (
            record.kind is Kind.SEARCH
            and record.origin is not Origin.YOURS
            and record.state.terminal
            and record.setting
        ):
            groups[record.setting.optimizer].append(record)
    slowest = _slowest([_complete(group) for group in groups.values()], direction)
    rows = [_row(name, group, direction, tolerance, slowest) for name, group in groups.items()]
    sign = 1.0 if direction is Direction.MINIMIZE else -1.0
    return tuple(
        sorted(rows, key=lambda row: (row.best is None, sign * (row.best or 0.0), row.optimizer))
    )


def rate_of(record: TrialRecord) -> float:
    assert record.setting is not None  # groups hold no other
    return record.setting.learning_rate


def value_of(record: TrialRecord) -> float:
    assert record.value is not None  # complete trials have one
    return record.value


def _row(
    name: str,
    group: Sequence[TrialRecord],
    direction: Direction,
    tolerance: float,
    slowest: float | None,
) -> OptimizerRow:
    state = {each: [record for record in group if record.state is each] for each in TrialState}
    complete, best = _complete(group), _best(group, direction)
    return OptimizerRow(
        optimizer=name,
        trials=len(group),
        complete=len(complete),
        diverged=len(state[TrialState.DIVERGED]),
        pruned=len(state[TrialState.PRUNED]),
        failed=len(state[TrialState.FAILED]),
        best=best.value if best else None,
        best_trial=best.number if best else None,
        best_rate=rate_of(best) if best else None,
        median=statistics.median(map(value_of, complete)) if complete else None,
        crawls_to=_crawls_to(complete, best, tolerance, slowest),
        diverges_from=_diverges_from(
            complete + state[TrialState.PRUNED], state[TrialState.DIVERGED]
        ),
        good_rates=_good_rates(complete, best, tolerance),
    )


def _diverges_from(held: Sequence[TrialRecord], diverged: Sequence[TrialRecord]) -> float | None:
    highest = max(map(rate_of, held), default=0.0)
    return min((rate for rate in map(rate_of, diverged) if rate > highest), default=None)


def _crawls_to(
    complete: Sequence[TrialRecord],
    best: TrialRecord | None,
    tolerance: float,
    slowest: float | None,
) -> float | None:
    if best is None or slowest is None:
        return None
    crawled = [rate_of(each) for each in complete if _crawled(each, best, tolerance, slowest)]
    # the best's own is one
    lowest = min(rate_of(each) for each in complete if not _crawled(each, best, tolerance, slowest))
    return max((rate for rate in crawled if rate < lowest), default=None)


def _crawled(record: TrialRecord, best: TrialRecord, tolerance: float, slowest: float) -> bool:
    """Whether a rate was too small: a lower one than the best's, a worse value, and training that
    did not get far.

    How far training got is the last epoch's training loss, between the best's and the study's
    slowest. A worse value alone may be luck, overfitting, or another schedule.
    """
    loss, reached = record.logs.get("loss"), best.logs.get("loss")
    if loss is None or reached is None or rate_of(record) >= rate_of(best):
        return False
    return abs(value_of(record) - value_of(best)) > tolerance and loss > reached + FAR * (
        slowest - reached
    )


def _slowest(groups: Iterable[Sequence[TrialRecord]], direction: Direction) -> float | None:
    """The highest last training loss of all trials whose rate is below their optimizer's best:
    about where training begins.
    """
    losses: list[float] = []
    for group in groups:
        best = _best(group, direction)
        lower = [each for each in group if best is not None and rate_of(each) < rate_of(best)]
        losses += [
            each.logs["loss"]
            for each in lower
            if "loss" in each.logs and math.isfinite(each.logs["loss"])
        ]
    return max(losses, default=None)


def _complete(group: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [each for each in group if each.state is TrialState.COMPLETE and each.value is not None]


def _best(group: Sequence[TrialRecord], direction: Direction) -> TrialRecord | None:
    sign = 1.0 if direction is Direction.MINIMIZE else -1.0
    return min(
        _complete(group), key=lambda each: (sign * value_of(each), each.number), default=None
    )


def _good_rates(
    complete: Sequence[TrialRecord], best: TrialRecord | None, tolerance: float
) -> tuple[float, float] | None:
    """The sensitivity to the rate, as the range that still does well (after Wortsman et al. 2023)."""
    if best is None:
        return None
    good = [rate_of(each) for each in complete if abs(value_of(each) - value_of(best)) <= tolerance]
    return min(good), max(good)
