"""Decides which trainings still fit before a study's deadline.

**The rule.** Nothing begins that would end after the deadline if it took as long as the
slowest training so far. So the deadline is passed by at most one training. Before any
trial is complete, the length of a training is unknown: each worker trains one.

**A training's length** is its share of its worker's time: while a worker trains `k`
rows at once, each row is charged with a `k`-th of every second. A training that begins
beside `k` others ends within `k + 1` shares, since each of the others takes one share
at most. So rows and single trainings are counted alike, and stacks get narrower towards
the deadline.

**Room for retests.** A search trial must leave time for the retests of three settings
and yours (fewer where fewer are complete) on every seed. A retest is expected to take
the median of the last 31 complete trials, on the workers seen lately.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, select

from lrsearch.budget import RETESTED
from lrsearch.storage.tables import IS_RUNNING, IS_SEARCH, trials, workers
from lrsearch.storage.transaction import Transaction
from lrsearch.values import WORKER_GONE_SECONDS, TrialState

SAMPLE = 31  # complete trials whose median stands for the next one's
_LEAST_SECONDS = 1e-3  # a training takes some time, whatever the clock says


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeLeft:
    """The numbers that decide whether a worker's next training fits before the deadline."""

    seconds: float  # until the deadline
    slowest: float  # shares, in seconds; 0 before a training has ended
    typical: float
    complete: int  # of the newest SAMPLE trials; 0: the length of a training is unknown
    seeds: int  # of the retests
    workers: int
    running: int  # trainings that the worker trains now
    settings: int = RETESTED  # how many are retested
    trials: int = 0  # of the search
    trainings: int | None = None  # the limit of search trials and retests together

    def for_search(self) -> bool:
        """Whether a search trial may begin, and all retests after it."""
        retests = self.seeds * min(self.settings, self.complete)
        if self.trainings is not None:
            retests = min(retests, self.trainings - self.trials)
        rounds = -(-retests // self.workers)
        return self._fits(after=self.typical * rounds)

    def for_retest(self) -> bool:
        """Whether a retest may begin."""
        return self._fits(after=0.0)

    def _fits(self, *, after: float) -> bool:
        if not self.complete:
            return not self.running and self.slowest < self.seconds
        return after + self.slowest * (self.running + 1) <= self.seconds

    @property
    def retests(self) -> int:
        """The number of retests that fit on all workers, if each worker's last is the slowest."""
        room = self.seconds - self.slowest
        if room < 0:
            return 0
        return self.workers * (1 + int(room / max(self.typical, _LEAST_SECONDS)))


def time_left(tx: Transaction, worker_id: int) -> TimeLeft | None:
    """Read the numbers for a worker's next training; None where the study has no deadline."""
    if tx.study.deadline is None:
        return None
    sample = _read_newest(tx)
    slowest = select(func.max(trials.c.worker_seconds)).where(tx.of_study())
    return TimeLeft(
        seconds=tx.study.deadline - tx.now,
        slowest=float(tx.execute(slowest).scalar_one() or 0.0),
        typical=statistics.median(sample) if sample else 0.0,
        complete=len(sample),
        seeds=int(tx.rules["retest_seeds"]),
        settings=int(tx.rules.get("retest_top", 3)) + 1,
        workers=max(1, live_workers(tx)),
        running=tx.count(IS_RUNNING, trials.c.worker_id == worker_id),
        trials=tx.study.trials or 0,
        trainings=tx.study.trainings,
    )


def live_workers(tx: Transaction) -> int:
    """Count the study's workers that were seen lately."""
    query = select(func.count()).select_from(workers).where(seen_lately(tx))
    return int(tx.execute(query).scalar_one())


def seen_lately(tx: Transaction) -> ColumnElement[bool]:
    """The condition on workers that they are the study's and were seen lately."""
    since = workers.c.last_seen > tx.now - WORKER_GONE_SECONDS
    return and_(workers.c.study_id == tx.study_id, workers.c.state != "gone", since)


def _read_newest(tx: Transaction) -> list[float]:
    """The shares of the newest complete search trials."""
    known = tx.of_study(
        trials.c.state == TrialState.COMPLETE.value,
        IS_SEARCH,
        trials.c.worker_seconds.is_not(None),
    )
    newest = (
        select(trials.c.worker_seconds).where(known).order_by(trials.c.number.desc())
    )
    return [float(each) for each in tx.execute(newest.limit(SAMPLE)).scalars()]
