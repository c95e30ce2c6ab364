"""How long a number of trainings takes, by a few timed steps. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """What a few timed steps say of trainings, in seconds; tracing apart, which a worker pays once
    for each graph.
    """

    seconds: float  # a training's, in the company that it has on its worker
    yours_seconds: float  # yours', which trains alone
    tracing: float = 0.0  # of each graph that a worker meets
    graphs: int = 1  # that there are for the study's trials, yours aside
    traced: int = 0  # of them, before the first training
    yours_tracing: float = 0.0
    at_once: int = 1  # trainings on a worker, which begin and end together


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """How long so many trainings take: each worker its share, a trace of each graph that it meets,
    and the wait for the search's last training, before which no retest begins.
    """

    timed: Timed
    trainings: int
    yours: int  # trainings of yours, retests included
    workers: int
    waits: bool  # retests follow the search

    def lasts(self, trainings: int | None = None) -> float:
        """Seconds of all of them, or of the first so many."""
        timed, some = self.timed, self.trainings if trainings is None else trainings
        mine = -(-some // self.workers)
        alone = min(-(-self.yours // self.workers), mine)
        graphs = max(0, min(timed.graphs, mine - alone) - timed.traced)
        tracing = graphs * timed.tracing + bool(alone) * timed.yours_tracing
        # of several workers all but one wait, for half of what a worker trains at once on average
        together = timed.at_once * timed.seconds
        waiting = together / 2 if self.waits and self.workers > 1 and mine > timed.at_once else 0.0
        return (mine - alone) * timed.seconds + alone * timed.yours_seconds + tracing + waiting

    def left(self, *, done: int, elapsed: float) -> float:
        """Seconds left when `done` trainings took `elapsed`: the timed steps tell the shape, the
        trainings the pace.
        """
        whole, begun = self.lasts(), self.lasts(done)
        return max(0.0, whole - elapsed if not done else (whole - begun) * elapsed / begun)
