"""Enumerations: directions, outcomes, verdicts, origins, kinds, states of trials and studies."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Direction(StrEnum):
    """Which way the objective improves."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is strictly better than `other`."""
        return self.cost(one) < self.cost(other)

    def cost(self, value: float) -> float:
        """`value` where less is better, and its negative where more is: sorts the best first."""
        return value if self is Direction.MINIMIZE else -value

    def best(self, values: Iterable[float]) -> float:
        """The best of at least one value."""
        return min(values, key=self.cost)

    def worst(self, values: Iterable[float]) -> float:
        """The worst of at least one value."""
        return max(values, key=self.cost)


class Status(StrEnum):
    """How an attempt at a trial ended.

    The first four are terminal for the trial and count against the budget.
    """

    COMPLETE = "complete"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    # A signal or a deadline stopped the attempt: the trial goes back to the queue.
    INTERRUPTED = "interrupted"
    LOST = "lost"  # the lease lapsed: the attempt may write nothing any more

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETE, Status.DIVERGED, Status.PRUNED, Status.FAILED})


class Verdict(StrEnum):
    """The answer to an engine's report of progress."""

    KEEP = "keep"
    PRUNE = "prune"
    INTERRUPT = "interrupt"
    LOST = "lost"


class Origin(StrEnum):
    """Where a trial's setting came from."""

    YOURS = "yours"  # the user's own compile, unchanged
    REFERENCE = "reference"  # an optimizer at its reference setting
    SAMPLED = "sampled"
    RETRY = "retry"  # a failed trial's setting once more, on request


class Kind(StrEnum):
    """What a trial is for.

    Search trials count against the budget and have an Optuna row; retests confirm the
    answer with fresh seeds.
    """

    SEARCH = "search"
    RETEST = "retest"


class TrialState(StrEnum):
    """The state of a trial in the ledger; the last four are terminal and never change."""

    WAITING = "waiting"  # in the queue: enqueued, interrupted, or its worker was lost
    RUNNING = "running"
    COMPLETE = "complete"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        return self not in {TrialState.WAITING, TrialState.RUNNING}


class StudyState(StrEnum):
    """What a study's workers may do."""

    OPEN = "open"
    DRAINING = "draining"  # running trials end, none begins
    STOPPED = "stopped"  # running trials are interrupted
    BROKEN = "broken"  # its own code fails; `reason` says how
    FINISHED = "finished"  # budget spent and retests done

    @property
    def is_stopped(self) -> bool:
        """Whether somebody stopped the study, so that no trial begins until it is resumed."""
        return self in {StudyState.DRAINING, StudyState.STOPPED}
