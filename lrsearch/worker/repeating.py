"""Trains stored trainings once more in this very process, without a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.values import Outcome, StudyRecord, TrialRecord, TrialSpec, Verdict
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.export import silence_stderr
from lrsearch.worker.loading import KerasLoader

if TYPE_CHECKING:
    from lrsearch.engine.contract import Engine


def train_again(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    *,
    study_file: Path,
    engine: str,
    begins: Callable[[TrialRecord], None],
) -> Iterator[tuple[TrialRecord, Outcome]]:
    """Train each record's setting under its seed; yields the records with their new outcomes.

    `begins` is told of each training as it begins. Raises what `KerasLoader.open`
    raises: FingerprintMismatch where the file is not the study's any more.
    """
    with silence_stderr():
        trainer = _open(study, study_file=study_file, engine=engine)
    by_id = {each.id: each for each in records}
    left = iter(records)

    def source() -> TrialSpec | None:
        record = next(left, None)
        if record is None:
            return None
        begins(record)
        assert record.setting is not None
        assert record.seed is not None
        return record.first_spec(
            record.setting, record.seed, study.facts.fold_of(record.repeat)
        )

    outcomes = trainer.train(
        source, lambda _progress: Verdict.KEEP, lambda _progress, _take: None
    )
    for outcome in outcomes:
        yield by_id[outcome.trial_id], outcome


def _open(study: StudyRecord, *, study_file: Path, engine: str) -> Engine:
    config = WorkerConfig(
        storage="",
        study_file=str(study_file),
        checkpoints="",
        overrides=study.plan.overrides,
        engine=engine,
        threads=study.threads,
    )
    loader = KerasLoader(config)
    loader.prepare()
    _, trainer = loader.open(study)
    trainer.calibrate(None)  # an engine that chooses by figures measures them now
    return trainer
