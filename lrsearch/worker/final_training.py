"""Trains a setting once more in this very process, on a fresh seed, and saves the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lrsearch.values import (
    Kind,
    Outcome,
    Progress,
    Setting,
    StudyRecord,
    TrialSpec,
    Verdict,
)
from lrsearch.worker.export import silence_stderr
from lrsearch.worker.loading import load_stored
from lrsearch.worker.seeds import seed_of

# far above the repeats of retests: the seed is none that the answer rests on
_FIRST = 1_000_000


def train_finally(
    study: StudyRecord,
    setting: Setting,
    *,
    trial: int,
    yours: bool,
    study_file: Path,
    output: Path,
    epochs: int | None,
    listen: Callable[[Progress], None],
) -> tuple[Outcome, str, int]:
    """Train and save; returns the outcome, why the file cannot be loaded safely, and the seed.

    `epochs` is another length than the study's; the schedule stretches with it. Raises
    StudyFileError, FingerprintMismatch, InvalidValue.
    """
    from lrsearch.definition import check_backend

    check_backend()
    with silence_stderr():
        from lrsearch import engine

        definition = load_stored(study, study_file)
        if epochs is not None:
            definition = replace(definition, epochs=epochs)
        loaded = engine.open_study(definition, facts=study.facts)
        engine.check_same_start(loaded, study.facts, study.name)
    seed = seed_of(study.plan.seed, Kind.RETEST, _FIRST + trial)
    spec = TrialSpec(
        trial_id=0,
        attempt=1,
        label=f"the final training of trial {trial}",
        setting=setting,
        seed=seed,
        number=trial,
        yours=yours,
        test_split=True,
    )

    def watch(progress: Progress) -> Verdict:
        listen(progress)
        return Verdict.KEEP

    outcome, problem = engine.train_and_save(loaded, spec, output, watch=watch)
    return outcome, problem, seed
