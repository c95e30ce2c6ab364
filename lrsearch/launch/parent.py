"""The parent's own dealings with the ledger: closing the attempts of dead workers, and telling how the study stands."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.answer import ranking
from lrsearch.errors import LrSearchError, StorageGone
from lrsearch.launch.events import Event, Listener
from lrsearch.values import Json, Kind, Origin, Outcome, Status, StudyRecord, StudyState, TrialRecord, TrialState
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.events import setting_in_short
from lrsearch.worker.faults import breaking_failure
from lrsearch.worker.workshop import host_name

if TYPE_CHECKING:
    from lrsearch.storage import Counts, Ledger

COUNT_EVERY_SECONDS = 2.0
CHECKPOINTS = "lrsearch-checkpoints"


class LedgerUndertaker:
    """Closes attempts at once whose worker is gone; where the database does not answer, their leases lapse instead."""

    def __init__(self, ledger: Ledger, study_id: int) -> None:
        self._ledger, self._study_id = ledger, study_id

    def lost(self, worker_id: int, reason: str) -> None:
        with suppress(LrSearchError):
            for trial in self._held(worker_id):
                self._ledger.lose(trial.id, trial.attempt, reason=reason)
            self._ledger.worker_seen(worker_id, "gone")
            cause = breaking_failure(self._ledger.trials(self._study_id, kind=Kind.SEARCH))
            if cause is not None:
                self._ledger.set_state(self._study_id, StudyState.BROKEN, reason=cause.reason)

    def put_back(self, worker_id: int, reason: str) -> None:
        with suppress(LrSearchError):
            for trial in self._held(worker_id):
                back = Outcome(trial_id=trial.id, attempt=trial.attempt, status=Status.INTERRUPTED, engine="", reason=reason)
                self._ledger.finish(back, ())
            self._ledger.worker_seen(worker_id, "gone")

    def state(self) -> StudyState | None:
        """How the study stands; None where it was deleted."""
        return next((each.state for each in self._ledger.studies() if each.id == self._study_id), None)

    def _held(self, worker_id: int) -> list[TrialRecord]:
        running = (each for each in self._ledger.trials(self._study_id) if each.state is TrialState.RUNNING)
        return [each for each in running if each.worker == worker_id]


class Watcher:
    """Tells listeners how the study stands, all its workers taken together, on any machine."""

    def __init__(self, ledger: Ledger, study: StudyRecord, listen: Listener) -> None:
        self._ledger, self._study, self._listen = ledger, study, listen
        self._next = time.monotonic() + COUNT_EVERY_SECONDS
        self._revision: int | None = None  # what has changed since is looked at next time

    def begin(self) -> None:
        """The `study` event: budget, what is done, best and yours so far."""
        study, facts = self._study, self._study.plan.facts
        records = self._ledger.trials(study.id, kind=Kind.SEARCH)
        done = ranking(records, facts.direction)
        best = next(iter(done), None)
        yours = next((each for each in done if each.origin is Origin.YOURS), None)
        told = {
            "study": study.name,
            "objective": facts.objective,
            "direction": facts.direction.value,
            "trials": study.trials,
            "done": sum(each.state.terminal for each in records),
            "deadline": study.deadline,
            "retest": study.plan.retest_seeds,
            "best": _told(best),
            "yours": _told(yours),
        }
        self._listen(Event(name="study", facts=told))
        self._count()

    def look(self) -> None:
        """The `counts` event, when it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + COUNT_EVERY_SECONDS
            try:
                self._count()
            except StorageGone:  # nothing that is trained now would be found
                raise
            except LrSearchError:  # an outage: the workers say so
                pass

    def end(self) -> None:
        """A note of what the study's time had no room for."""
        with suppress(LrSearchError):
            study = self._ledger.study(self._study.name)
            text = left_undone(study, self._ledger.counts(study.id))
            if text:
                self._listen(Event(name="note", facts={"text": text}))

    def _count(self) -> None:
        study, counts = self._ledger.study(self._study.name), self._ledger.counts(self._study.id)
        changed = self._ledger.trials(self._study.id, changed_since=self._revision)
        self._revision = changed.revision
        ended = [each for each in changed if each.state.terminal]
        told = {
            "ended": [each.label for each in ended if each.kind is Kind.SEARCH],
            "retests_ended": [each.label for each in ended if each.kind is Kind.RETEST],
            "retests": counts.retests,
            "running": counts.running,
            "waiting": counts.waiting,
            "failed": counts.failed,
            "trials": study.trials,
            "deadline": study.deadline,
        }
        self._listen(Event(name="counts", facts=told))


def left_undone(study: StudyRecord, counts: Counts) -> str:
    """What a study that its time-out ended has not done; empty where it has done all."""
    if study.deadline is None or study.state is not StudyState.FINISHED:
        return ""
    undone = counts.retests - counts.retests_done
    found = {
        f"{counts.done} of {study.trials} trials were trained": study.trials is not None and counts.done < study.trials,
        "no trial could begin": study.trials is None and not counts.done,
        f"{undone} of {counts.retests} retests were not done": undone > 0,
        "there was no time for retests": bool(counts.complete and study.plan.retest_seeds and not counts.retests),
    }
    said = ", ".join(text for text, holds in found.items() if holds)
    return f"the time is over: {said}; lrsearch extend {study.name} --timeout TIME gives it more" if said else ""


def _told(record: TrialRecord | None) -> dict[str, object] | None:
    if record is None or record.setting is None:
        return None
    return {"number": record.number, "value": record.value, "short": setting_in_short(record.setting)}


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    """The ledger at `url`, made where it is not there yet; closed afterwards."""
    from lrsearch.storage import open_ledger

    ledger = open_ledger(url, create=True)
    try:
        yield ledger
    finally:
        ledger.close()


def check_storage(url: str) -> bool:
    """Raise StorageProblem or SchemaMismatch where `url` cannot be used, without making anything.

    Returns whether our tables are there.
    """
    from lrsearch.storage import check_storage as check

    return check(url)


def remove_checkpoints(study: StudyRecord, given: str | Path | None, url: str) -> None:
    """Remove a deleted study's folder of checkpoints, where it is on this machine."""
    from lrsearch.worker.opening import folder_of

    shutil.rmtree(checkpoint_root(given, url) / folder_of(study), ignore_errors=True)


def checkpoint_root(given: str | Path | None, url: str) -> Path:
    """Where checkpoints go: as given, else a folder beside SQLite's file, else one in the working folder."""
    if given is not None:
        return Path(given).expanduser().resolve()
    kind, _, place = url.partition(":///")
    beside = Path(place).parent if kind.startswith("sqlite") and place else Path()
    return Path(os.path.abspath(beside)) / CHECKPOINTS  # noqa: PTH100 - links stay as given


def config_of(
    url: str,
    study_file: Path,
    overrides: Mapping[str, Json],
    engine: str,
    engine_factory: str | None,
    checkpoints: str | Path | None,
    *,
    every: float | None,
    quota: int | None,
    until: str = "done",
) -> WorkerConfig:
    """What this machine's workers are told, their slots aside: a checkpoint `every` so many seconds, of `quota` bytes in all."""
    return WorkerConfig(
        storage=url,
        study_file=str(study_file),
        checkpoints=str(checkpoint_root(checkpoints, url)),
        overrides=overrides,
        host=host_name(),
        engine=engine,
        engine_factory=engine_factory,
        checkpoint_seconds=every or 60.0,
        checkpoint_quota_bytes=quota,
        until=until,
    )
