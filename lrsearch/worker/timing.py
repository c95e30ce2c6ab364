"""Times a few steps of a study before there is one in a database: what `lrsearch plan` reckons
with.

Knows the engines' contract alone. An engine that calibrates does so; another one trains its first
reference for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from lrsearch.answer import figures_by_looks
from lrsearch.engine.contract import Engine
from lrsearch.messages import Inspection
from lrsearch.values import Json, Progress, StudyPlan, StudyRecord, StudyState, TrialSpec, Verdict
from lrsearch.worker.workshop import Workshop

TIMED_SECONDS = 2.0  # after the first look, which comes after tracing
_LOOKS = 2  # at least, to tell a pace by


def timed_figures(workshop: Workshop, found: Inspection) -> Mapping[str, Json]:
    """An engine's figures for the study that was found, as `answer.timed_training` takes them."""
    _, engine = workshop.open(_unstored(found))
    return engine.calibrate(None) or engine.time_steps() or _trained_a_moment(engine, found)


def _trained_a_moment(engine: Engine, found: Inspection) -> Mapping[str, Json]:
    """Seconds of an update by training the first reference until there are looks enough; empty
    where it ended before.
    """
    looks: list[tuple[float, Progress]] = []
    specs = [
        TrialSpec(
            trial_id=-1, attempt=1, label="plan", setting=found.references[0], seed=found.seed
        )
    ]

    def watch(progress: Progress) -> Verdict:
        looks.append((time.monotonic(), progress))
        enough = len(looks) >= _LOOKS and looks[-1][0] - looks[0][0] >= TIMED_SECONDS
        return Verdict.INTERRUPT if enough else Verdict.KEEP

    began = time.monotonic()
    for _ in engine.train(
        lambda: specs.pop() if specs else None, watch, lambda _progress, _take: None
    ):
        pass
    # by epochs' ends where there are two, so that validation is part of an update
    ends = [look for look in looks if look[1].epoch_end]
    whole = len(ends) >= _LOOKS
    pairs = [(at, progress.step) for at, progress in (ends if whole else looks)]
    if not pairs:
        return {}
    figures = figures_by_looks(engine.name, began, pairs, whole=whole)
    return figures and figures | {"timing_seconds": time.monotonic() - began}


def _unstored(found: Inspection) -> StudyRecord:
    """The study as a workshop opens it, in no database."""
    plan = StudyPlan(
        name="plan",
        study_file=None,
        facts=found.facts,
        overrides={},
        dimensions=found.dimensions,
        sampler="random",
        pruner="none",
        seed=found.seed,
        trials=1,
        timeout_seconds=None,
        retest_seeds=0,
        retries=0,
        first=(),
    )
    return StudyRecord(
        id=0,
        plan=plan,
        state=StudyState.OPEN,
        reason="",
        trials=1,
        deadline=None,
        created_at=0.0,
        optuna_study_id=0,
    )
