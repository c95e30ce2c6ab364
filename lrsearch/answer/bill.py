"""The bill: how many trainings a study comes to, how long they take and when they are done.

Before the first training has ended, its length follows from the steps that were timed;
an estimate for people. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from lrsearch.answer.pace import trainings_left
from lrsearch.budget import FULL_RUNS, trials_at_once
from lrsearch.forecast import Forecast, TimedSteps
from lrsearch.values import Json, Origin, StudyFacts, StudyRecord, Trials

# of a training batch's time takes the same number of examples in validation: there is
# no gradient
VALIDATION = 0.4
# of an epoch's training, where the splits' lengths are not known
UNKNOWN_VALIDATION = 0.1
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
    # these fit into so much time, which is what limits them
    limit_seconds: float | None = None
    # whether trials may be stopped early, which `seconds` does not foresee
    stops: bool = False

    @property
    def trainings(self) -> int | None:
        return None if self.trials is None else self.trials + self.retests

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "trainings": self.trainings}


def timed_training(
    facts: StudyFacts,
    figures: Mapping[str, Json],
    *,
    at_once: int,
    optimizers: int,
    all_differ: bool = False,
) -> TimedSteps | None:
    """What timed steps say, with so many trials `at_once` on a worker; None where none were timed.

    `all_differ` says that trials which train alone have a graph each: its numbers are
    searched. `figures` are an engine's calibration (milliseconds of a trial's batch by
    "graph" or "N rows"), or those of `figures_by_looks`.
    """
    if "update_seconds" in figures:
        return _by_updates(facts, figures, optimizers, all_differ=all_differ)
    width, batch = _batch_seconds(figures, at_once)
    _, alone = _batch_seconds(figures, 1)
    if batch is None:
        return None
    tracing = float(figures.get("tracing_seconds", 0.0))
    alone_validation, stacked = figures.get("validation_seconds"), width > 1
    ends = _by_width(figures.get("ends", {}))
    validation = _between(ends, width) / width if stacked and ends else alone_validation
    anew = tracing if all_differ and not stacked else 0.0
    start = float(figures.get("starting_seconds", 0.0)) + anew
    return TimedSteps(
        seconds=_seconds(facts, batch, validation) + start,
        yours_seconds=_seconds(facts, alone or batch, alone_validation),
        tracing=0.0 if anew else tracing,
        graphs=len(facts.steps_per_epoch) * (1 if stacked else optimizers),
        traced=1,
        yours_tracing=float(figures.get("alone_tracing_seconds", tracing)),
        at_once=width,
    )


def _seconds(facts: StudyFacts, batch: float, validation: float | None) -> float:
    """The seconds of a training, from those of a batch and of an epoch's validation.

    Where validation was not timed, the lengths of the splits give its share.
    """
    training = facts.steps_per_epoch[str(facts.yours.batch_size)] * batch
    share = training * _validation(facts) if validation is None else validation
    return facts.epochs * (training + share) + TRIAL_SECONDS


def _by_updates(
    facts: StudyFacts, figures: Mapping[str, Json], optimizers: int, *, all_differ: bool
) -> TimedSteps:
    """By one training that was watched for a moment."""
    seen = 1.0 if figures["whole_epochs"] else 1.0 + _validation(facts)
    updates = facts.total_steps(facts.yours.batch_size)
    tracing = float(figures["tracing_seconds"])
    each = updates * seen * float(figures["update_seconds"]) + TRIAL_SECONDS
    # `fit` makes a new model and traces it anew for every training
    if figures["engine"] == "fit" or all_differ:
        return TimedSteps(seconds=each + tracing, yours_seconds=each + tracing)
    return TimedSteps(
        seconds=each,
        yours_seconds=each,
        tracing=tracing,
        graphs=len(facts.steps_per_epoch) * optimizers,
        yours_tracing=tracing,
    )


def figures_by_looks(
    engine: str, began: float, looks: Sequence[tuple[float, int]], *, whole: bool
) -> dict[str, Json]:
    """Figures of a running training: its engine, seconds per update, and tracing.

    The training `began` at a time; each look is a time and the updates made by then.
    With `whole`, epochs lie between the looks, validation included. Empty where nothing
    was trained between.
    """
    (first, early), (last, late) = looks[0], looks[-1]
    if late <= early:
        return {}
    each = (last - first) / (late - early)
    return {
        "engine": engine,
        "update_seconds": each,
        "whole_epochs": whole,
        "tracing_seconds": max(0.0, first - began - each * early),
    }


def _validation(facts: StudyFacts) -> float:
    """The time of an epoch's validation, in those of its training."""
    if not facts.train_examples or not facts.validation_examples:
        return UNKNOWN_VALIDATION
    return VALIDATION * facts.validation_examples / facts.train_examples


def forecast(
    study: StudyRecord, records: Trials, figures: Mapping[str, Json], *, workers: int
) -> Forecast | None:
    """How long the study still takes by a few timed steps; None where none were timed."""
    facts, plan = study.facts, study.plan
    timed = timed_training(
        facts,
        figures,
        at_once=trials_at_once(study.trials, workers),
        optimizers=len(
            {each.optimizer for origin, each in plan.first if origin != Origin.YOURS}
        ),
        all_differ=bool(facts.yours.extra)
        or any("." in each["name"] for each in plan.dimensions),
    )
    if timed is None:
        return None
    ended = sum(each.origin is Origin.YOURS and each.state.terminal for each in records)
    left = trainings_left(study, records)
    return Forecast(
        timed=timed,
        trainings=left or 0,
        yours=max(0, 1 + plan.retest_seeds - ended),
        workers=workers,
        waits=bool(plan.retest_seeds),
        stops=_may_stop(study),
    )


def _may_stop(study: StudyRecord) -> bool:
    """Whether the study is long enough for its pruner to stop a trial early."""
    if study.plan.pruner == "none":
        return False
    return (
        study.plan.pruner != "auto" or study.trials is None or study.trials > FULL_RUNS
    )


def _batch_seconds(
    figures: Mapping[str, Json], at_once: int
) -> tuple[int, float | None]:
    """How many of `at_once` trials train together, and seconds of a trial's batch among them.

    The number is 1 where trials train alone.
    """
    means: Mapping[str, float] = (
        figures.get("means") or figures.get("milliseconds") or {}
    )
    timed = _by_width(figures.get("mixed") or means)
    width = min(at_once, int(figures.get("width", 1)))
    if figures.get("engine") == "vectorized" and timed and width > 1:
        return width, _between(timed, width) / width
    return 1, means["graph"] / 1000 if "graph" in means else None


def _by_width(milliseconds: Mapping[str, float]) -> dict[int, float]:
    """Seconds by the N of "N rows"."""
    rows = {name: each for name, each in milliseconds.items() if name.endswith(" rows")}
    return {int(name.split()[0]): each / 1000 for name, each in rows.items()}


def _between(timed: Mapping[int, float], width: int) -> float:
    """Seconds of a batch of all of `width` rows, by those of a row in the widths that
    were timed: in between along a line, beyond them in proportion.
    """
    below = max((each for each in timed if each <= width), default=None)
    above = min((each for each in timed if each >= width), default=None)
    if below is None or above is None or below == above:
        nearest = below or above or width
        return timed[nearest] * width
    share = (width - below) / (above - below)
    return (1 - share) * below * timed[below] + share * above * timed[above]
