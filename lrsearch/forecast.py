"""How long a number of trainings takes, by a few timed steps. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """How long so many trainings take: each worker its share, and a trace of each optimizer that it
    meets.
    """

    seconds: float  # of a training, as in `Timed`
    tracing: float
    trainings: int
    optimizers: int
    workers: int

    def lasts(self, trainings: int | None = None) -> float:
        """Seconds of all of them, or of the first so many."""
        mine = -(-(self.trainings if trainings is None else trainings) // self.workers)
        return mine * self.seconds + min(self.optimizers, mine) * self.tracing

    def left(self, *, done: int, elapsed: float) -> float:
        """Seconds left when `done` trainings took `elapsed`: the timed steps tell the shape, the
        trainings the pace.
        """
        whole, begun = self.lasts(), self.lasts(done)
        return max(0.0, whole - elapsed if not done else (whole - begun) * elapsed / begun)
