"""Times a few steps of a study that is not stored yet, for `lrsearch plan`.

An engine that calibrates does so; any other trains its first reference for a moment.
Knows only the engines' contract.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lrsearch.answer import figures_by_looks
from lrsearch.messages import Inspection
from lrsearch.values import Progress, Snapshot, TrialSpec, Verdict
from lrsearch.worker.loading import StudyLoader

if TYPE_CHECKING:  # a stand-in for Keras times its steps without TensorFlow
    from lrsearch.engine.contract import Engine, Figures

TIMED_SECONDS = 2.0  # after the first look, which comes after tracing
_LOOKS = 2  # the fewest that give a pace


def time_engine(loader: StudyLoader, study: Inspection) -> Figures:
    """Time the inspected study; returns the figures that `answer.timed_training` takes."""
    _, engine = loader.open(None)
    return (
        engine.calibrate(None) or engine.time_steps() or _train_a_moment(engine, study)
    )


def _train_a_moment(engine: Engine, study: Inspection) -> Figures:
    """Train the first reference until its pace is known; empty figures where it ends before."""
    looks: list[tuple[float, Progress]] = []
    setting = study.references[0]
    specs = [
        TrialSpec(
            trial_id=-1, attempt=1, label="plan", setting=setting, seed=study.seed
        )
    ]

    def watch(progress: Progress) -> Verdict:
        looks.append((time.monotonic(), progress))
        enough = len(looks) >= _LOOKS and looks[-1][0] - looks[0][0] >= TIMED_SECONDS
        return Verdict.INTERRUPT if enough else Verdict.KEEP

    def save(_progress: Progress, _take: Callable[[], Snapshot]) -> None:
        """Write no checkpoint."""

    began = time.monotonic()
    for _ in engine.train(lambda: specs.pop() if specs else None, watch, save):
        pass
    # By epochs' ends where there are two, so that the pace includes validation.
    ends = [look for look in looks if look[1].epoch_end]
    whole = len(ends) >= _LOOKS
    pairs = [(at, progress.step) for at, progress in (ends if whole else looks)]
    if not pairs:
        return {}
    figures = figures_by_looks(engine.name, began, pairs, whole=whole)
    return figures and {**figures, "timing_seconds": time.monotonic() - began}
