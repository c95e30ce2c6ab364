"""The bill: how many trainings a study comes to, how long they take and when they are done.

Before the first training has ended, its length follows from the steps that were timed; an estimate
for people. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lrsearch.values import Json, StudyFacts

# of a training batch's time takes the same number of examples in validation: there is no gradient
VALIDATION = 0.4
UNKNOWN_VALIDATION = 0.1  # of an epoch's training, where the splits' lengths are not known
TRIAL_SECONDS = 0.05  # around a training: start values, the sampler, four transactions


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """What a study, or what is left of it, costs."""

    trials: int | None  # of the search; None: as many as the time allows
    retests: int
    done: int = 0  # of both, ended already
    workers: int = 1
    at_once: int = 1  # trainings, on all of the workers
    seconds: float | None = None  # until all is done; None: nobody knows yet
    limit_seconds: float | None = None  # these fit into so much time, which is what limits them

    @property
    def trainings(self) -> int | None:
        return None if self.trials is None else self.trials + self.retests

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "trainings": self.trainings}


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """What a few timed steps say of a training's time, its worker's others taken apart."""

    seconds: float
    tracing: float  # once for each optimizer and worker


def timed_training(facts: StudyFacts, figures: Mapping[str, Json], *, at_once: int) -> Timed | None:
    """A training's length by the steps that an engine timed, with so many trials `at_once`; None
    where none were timed.

    `figures` are an engine's calibration (milliseconds of a trial's batch by "graph" or "N rows"),
    or `worker.timing`'s.
    """
    if not figures:
        return None
    size = facts.yours.batch_size
    tracing = float(figures.get("tracing_seconds", 0.0))
    if "update_seconds" in figures:
        seen = 1.0 if figures["whole_epochs"] else 1.0 + _validation(facts)
        each = facts.total_steps(size) * seen * float(figures["update_seconds"]) + TRIAL_SECONDS
        own = figures["engine"] == "fit"  # a new model and a new trace for every training
        return Timed(seconds=each + tracing * own, tracing=tracing * (not own))
    batch = _batch_seconds(figures, at_once)
    if batch is None:
        return None
    batches = facts.epochs * facts.steps_per_epoch[str(size)]
    return Timed(
        seconds=batches * (1 + _validation(facts)) * batch + TRIAL_SECONDS, tracing=tracing
    )


def _validation(facts: StudyFacts) -> float:
    """The time of an epoch's validation, in those of its training."""
    if not facts.train_examples or not facts.validation_examples:
        return UNKNOWN_VALIDATION
    return VALIDATION * facts.validation_examples / facts.train_examples


def _batch_seconds(figures: Mapping[str, Json], at_once: int) -> float | None:
    """A trial's batch, in the widest stack that was timed and that so many trials fill."""
    timed: Mapping[str, float] = figures.get("means") or figures.get("milliseconds") or {}
    widths = {int(name.split()[0]): name for name in timed if name.endswith(" rows")}
    fitting = [width for width in widths if width <= min(at_once, int(figures["width"]))]
    stacked = figures["engine"] == "vectorized" and fitting
    name = widths[max(fitting)] if stacked else "graph"
    return timed[name] / 1000 if name in timed else None
