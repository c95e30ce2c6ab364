"""Times a few steps of a study before there is one in a database: what `lrsearch plan` reckons
with.

Knows the engines' contract alone. An engine that calibrates does so; another one trains its first
reference for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lrsearch.answer import figures_by_looks
from lrsearch.engine.contract import Engine, Figures
from lrsearch.messages import Inspection
from lrsearch.values import Progress, Snapshot, TrialSpec, Verdict
from lrsearch.worker.loading import StudyLoader

TIMED_SECONDS = 2.0  # after the first look, which comes after tracing
_LOOKS = 2  # at least, to tell a pace by


def time_engine(loader: StudyLoader, found: Inspection) -> Figures:
    """An engine's figures for the study that was found, as `answer.timed_training` takes them."""
    _, engine = loader.open(None)
    return engine.calibrate(None) or engine.time_steps() or _train_a_moment(engine, found)


def _train_a_moment(engine: Engine, found: Inspection) -> Figures:
    """Train the first reference until there are looks enough for a pace; empty if it ends before."""
    looks: list[tuple[float, Progress]] = []
    setting = found.references[0]
    specs = [TrialSpec(trial_id=-1, attempt=1, label="plan", setting=setting, seed=found.seed)]

    def watch(progress: Progress) -> Verdict:
        looks.append((time.monotonic(), progress))
        enough = len(looks) >= _LOOKS and looks[-1][0] - looks[0][0] >= TIMED_SECONDS
        return Verdict.INTERRUPT if enough else Verdict.KEEP

    def save(_progress: Progress, _take: Callable[[], Snapshot]) -> None:
        """Keep nothing."""

    began = time.monotonic()
    for _ in engine.train(lambda: specs.pop() if specs else None, watch, save):
        pass
    # by epochs' ends where there are two, so that validation is part of an update
    ends = [look for look in looks if look[1].epoch_end]
    whole = len(ends) >= _LOOKS
    pairs = [(at, progress.step) for at, progress in (ends if whole else looks)]
    if not pairs:
        return {}
    figures = figures_by_looks(engine.name, began, pairs, whole=whole)
    return figures and {**figures, "timing_seconds": time.monotonic() - began}
