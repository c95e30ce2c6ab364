"""`lrsearch verify`: trains some trials of an archive again, here, and compares."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lrsearch.answer import summarise
from lrsearch.answer.verification import (
    Repetition,
    choose_repetitions,
    compare_repetitions,
)
from lrsearch.errors import Refused, StudyFileError
from lrsearch.report.archive import Archive, read_archive
from lrsearch.values import Json, TrialRecord
from lrsearch.version import versions
from lrsearch.worker.definition_files import write_definition


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What came of it."""

    study: str
    repetitions: tuple[Repetition, ...]
    other_versions: tuple[str, ...]  # of libraries: "keras 3.15.1 then, 3.16.0 now"

    @property
    def holds(self) -> bool:
        return all(each.verdict != "differs" for each in self.repetitions)

    def to_json(self) -> dict[str, Json]:
        return {
            "study": self.study,
            "holds": self.holds,
            "trials": [each.to_json() for each in self.repetitions],
            "other_versions": list(self.other_versions),
        }


def verify(
    path: Path,
    *,
    trials: int,
    engine: str,
    study_file: Path | None,
    begins: Callable[[TrialRecord], None],
) -> Verification:
    """Train `trials` of the archived trainings again, under their seeds, in this process.

    The archived definition is run, or `study_file` where it is given: an archived one
    has no data files beside it. Raises InvalidValue for a file that is no archive,
    StudyFileError, FingerprintMismatch, and Refused where no training can be made
    again.
    """
    archive = read_archive(path)
    study = archive.study
    chosen = choose_repetitions(study, archive.trials, trials)
    if not chosen:
        none = f"the archive of {study.name!r} holds no training that ended by itself."
        raise Refused(none, fix="Archive the study again once a trial has ended.")
    tolerance = summarise(study, archive.trials).tolerance
    with tempfile.TemporaryDirectory(prefix="lrsearch-verify-") as folder:
        from lrsearch.worker.repeating import train_again

        file = _find_file(archive, study_file, Path(folder))
        pairs = train_again(
            study, chosen, study_file=file, engine=engine, begins=begins
        )
        repetitions = compare_repetitions(pairs, tolerance=tolerance)
    return Verification(
        study=study.name,
        repetitions=repetitions,
        other_versions=_other_versions(archive),
    )


def _find_file(archive: Archive, given: Path | None, folder: Path) -> Path:
    if given is not None:
        from lrsearch.definition import check_file

        return check_file(given)
    if not archive.sources:
        fix = "Give its file with --study-file."
        raise StudyFileError(
            f"the archive of {archive.study.name!r} has no definition.", fix=fix
        )
    return write_definition(archive.sources, folder)


def _other_versions(archive: Archive) -> tuple[str, ...]:
    then, now = archive.study.facts.versions, versions()
    return tuple(
        f"{name} {then[name]} then, {now[name]} now"
        for name in now
        if name in then and then[name] != now[name]
    )
