"""Estimates the time of a number of trainings by a few timed steps. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedSteps:
    """The seconds of trainings by a few timed steps.

    Tracing is counted apart, since a worker traces each graph only once.
    """

    seconds: float  # of one training, beside the others on its worker
    yours_seconds: float  # of a training of yours, which trains alone
    tracing: float = 0.0  # seconds per graph
    graphs: int = 1  # of the study's trials, yours aside
    traced: int = 0  # graphs that are traced before the first training
    yours_tracing: float = 0.0
    at_once: int = 1  # trainings on a worker, which begin and end together


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The time of a study's trainings.

    Each worker trains its share and traces each graph once. Before the retests all
    workers wait for the search's last training.
    """

    timed: TimedSteps
    trainings: int
    yours: int  # trainings of yours, retests included
    workers: int
    waits: bool  # whether retests follow the search
    # whether the pruner may end trials sooner; all are counted whole here
    stops: bool = False

    def total_seconds(self, trainings: int | None = None) -> float:
        """Seconds of all trainings, or of the first `trainings`."""
        timed, some = self.timed, self.trainings if trainings is None else trainings
        mine = -(-some // self.workers)
        alone = min(-(-self.yours // self.workers), mine)
        graphs = max(0, min(timed.graphs, mine - alone) - timed.traced)
        tracing = graphs * timed.tracing + bool(alone) * timed.yours_tracing
        # All workers but one wait, on average for half of what a worker trains at once.
        together = timed.at_once * timed.seconds
        waiting = (
            together / 2
            if self.waits and self.workers > 1 and mine > timed.at_once
            else 0.0
        )
        return (
            (mine - alone) * timed.seconds
            + alone * timed.yours_seconds
            + tracing
            + waiting
        )

    def seconds_left(self, *, done: int, elapsed: float) -> float:
        """Seconds left after `done` trainings that took `elapsed` seconds, at their pace."""
        whole, begun = self.total_seconds(), self.total_seconds(done)
        return max(
            0.0, whole - elapsed if not done else (whole - begun) * elapsed / begun
        )
