"""A study as one zip: definition, versions, hardware, trials, curves and seeds, as CSV and JSON.

Knows how an archive is laid out; opens no database and runs no study.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from lrsearch.answer import Scores, summarise
from lrsearch.errors import InvalidValue
from lrsearch.jsonable import from_json, to_json
from lrsearch.report.flat_rows import csv_text, flatten
from lrsearch.storage import AttemptRecord, plan_from
from lrsearch.values import (
    Change,
    CurvePoint,
    Json,
    StudyFacts,
    StudyPlan,
    StudyRecord,
    StudyState,
    TrialRecord,
    Trials,
    WorkerRecord,
)
from lrsearch.version import VERSION, versions

FORMAT = 1  # rises when an older lrsearch could misread an archive
_MADE_AT = (1980, 1, 1, 0, 0, 0)  # the same study gives the same bytes
_SUMS = "SHA256SUMS"
_STUDY = "study.json"
_TRIALS = "trials.json"
_SOURCES = "definition/"

_README = """Archive of study {name}, written by lrsearch {version}.

study.json       the study: objective, epochs, space, fingerprint, seed, budget, accepted changes
answer.json      what `lrsearch best --json` said
trials.*         every trial and retest: setting, seed, value, epochs, logs of the last epoch
curves.*         every epoch: updates, learning rate, seconds, objective, logs
attempts.*       every try at a training, with its worker
workers.*        where they trained: host, slot, hardware, versions
engines.json     the engines' timed steps, by machine
definition/      the study file and the modules beside it{missing}
SHA256SUMS       digests of all files above

Times are seconds since 1970, UTC. `lrsearch verify ARCHIVE` trains some trials again.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyHistory:
    """All that the ledger has of a study."""

    study: StudyRecord
    trials: Trials
    curves: Mapping[int, Sequence[CurvePoint]]  # by trial id
    attempts: Mapping[int, Sequence[AttemptRecord]]  # by trial id
    workers: Sequence[WorkerRecord]
    calibrations: Mapping[str, Json]  # by machine
    row_scores: Scores = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """What `read_archive` reads: enough to train again."""

    study: StudyRecord
    trials: Trials
    # texts by path below the study file's folder; the file is first
    sources: Mapping[str, str]


# -- write -----------------------------------------------------------------------------


def archive_files(history: StudyHistory, sources: Mapping[str, str]) -> dict[str, str]:
    """The archive's files by name. `sources`: the study file first; empty where it is not here."""
    study, trials = history.study, history.trials
    label = {each.id: each.short_label for each in trials}
    rows = {
        "trials": [_trial_row(each, study.facts) for each in trials],
        "curves": [
            {"trial": label[trial], **to_json(point)}
            for trial, points in history.curves.items()
            for point in points
        ],
        "attempts": [
            {"trial": label[trial], **to_json(attempt)}
            for trial, found in history.attempts.items()
            for attempt in found
        ],
        "workers": [to_json(each) for each in history.workers],
    }
    attempts = [each for one in history.attempts.values() for each in one]
    answer = summarise(study, trials, attempts, scores=history.row_scores)
    files = {
        "README.txt": _README.format(
            name=study.name,
            version=VERSION,
            missing="" if sources else " (not at hand)",
        ),
        _STUDY: _dump(study_data(study, sources)),
        "answer.json": _dump(answer.to_json()),
        "engines.json": _dump(dict(history.calibrations)),
    }
    for name, data in rows.items():
        files[f"{name}.json"] = _dump(data)
        files[f"{name}.csv"] = csv_text(
            flatten(row, whole=("setting",)) for row in data
        )
    files |= {_SOURCES + name: text for name, text in sources.items()}
    return files


def write_archive(path: Path, files: Mapping[str, str]) -> None:
    """Write the files and their digests as a zip, whole or not at all. Raises OSError."""
    data = {
        name: text.encode("utf-8", "surrogateescape") for name, text in files.items()
    }
    sums = "".join(f"{_digest(each)}  {name}\n" for name, each in sorted(data.items()))
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as file:
            for name, each in {**data, _SUMS: sums.encode()}.items():
                file.writestr(_entry(name), each)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _MADE_AT)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry


def _trial_row(record: TrialRecord, facts: StudyFacts) -> dict[str, Json]:
    """The record, and the fold that it trained on; None without folds."""
    fold = facts.fold_of(record.repeat)
    return {"label": record.short_label, "fold": fold, **to_json(record)}


def study_data(study: StudyRecord, sources: Mapping[str, str]) -> dict[str, Json]:
    """A study's record, its plan and facts with it."""
    plan = to_json(study.plan)
    return {
        "format": FORMAT,
        "written_by": versions(),
        "sources": list(sources),
        **{name: to_json(getattr(study, name)) for name in _OF_STUDY},
        "plan": plan,
    }


_OF_STUDY = (
    "name",
    "state",
    "reason",
    "trials",
    "trainings",
    "created_at",
    "threads",
    "changes",
)


def _dump(data: Json) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- read ------------------------------------------------------------------------------


def read_archive(path: Path) -> Archive:
    """Read an archive. Raises InvalidValue for a file that is none, or is damaged or newer."""
    files = _read_files(path)
    try:
        data = json.loads(files[_STUDY])
        if data["format"] > FORMAT:
            allowed = f"one that lrsearch {VERSION} can read"
            fix = f"It was written by lrsearch {data['written_by']['lrsearch']}; install that."
            raise InvalidValue("archive", got=str(path), allowed=allowed, fix=fix)
        trials = tuple(map(_trial_from, json.loads(files[_TRIALS])))
        study = study_from(data)
        texts = {
            name: files[_SOURCES + name].decode("utf-8", "surrogateescape")
            for name in data["sources"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _no_archive(path, f"{type(error).__name__}: {error}") from error
    return Archive(study=study, trials=trials, sources=texts)


def _read_files(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as file:
            files = {name: file.read(name) for name in file.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_archive(path, str(error)) from None
    sums = files.get(_SUMS, b"").decode("utf-8", "replace").splitlines()
    for digest, name in (line.split("  ", 1) for line in sums if "  " in line):
        if _digest(files.get(name, b"")) != digest:
            raise _no_archive(path, f"{name} is not what SHA256SUMS says")
    return files


def _no_archive(path: Path, why: str) -> InvalidValue:
    allowed = f"a whole archive of a study ({why})"
    fix = "Write one with: lrsearch archive STUDY -o x.zip"
    return InvalidValue("archive", got=str(path), allowed=allowed, fix=fix)


def study_from(data: Mapping[str, Json]) -> StudyRecord:
    """The record in `study_data`. Raises KeyError, TypeError or ValueError where it is damaged."""
    plan: StudyPlan = plan_from(json.dumps(data["plan"]))
    return StudyRecord(
        id=0,
        plan=plan,
        state=StudyState(data["state"]),
        reason=data["reason"],
        trials=data["trials"],
        deadline=None,
        created_at=data["created_at"],
        optuna_study_id=0,
        trainings=data["trainings"],
        threads=data["threads"],
        changes=tuple(from_json(Change, each) for each in data["changes"]),
    )


_OF_TRIAL = frozenset(each.name for each in fields(TrialRecord))


def _trial_from(data: Mapping[str, Json]) -> TrialRecord:
    """A trial without the fields that this version does not know."""
    return from_json(
        TrialRecord, {name: data[name] for name in data if name in _OF_TRIAL}
    )
