"""Keeps the notes of every study up to date on a thread, while the dashboard is served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lrsearch.dashboard.study_views import StudyViews
from lrsearch.report.notes import write_notes
from lrsearch.report.optuna_page import show_in_optuna
from lrsearch.storage import Mirror

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

NOTES_EVERY_SECONDS = 30.0


class NoteWriter:
    """Writes the notes and figures of studies that have changed since its last look."""

    def __init__(self, ledger: Ledger, views: StudyViews) -> None:
        self._ledger, self._views = ledger, views
        self._seen: dict[int, str | None] = {}
        # studies that changed at the last look: Optuna's rows may have come afterwards
        self._again: set[int] = set()
        # studies whose figure was written less than a minute ago
        self._owed: set[int] = set()

    def look(self) -> int:
        """Update Optuna's rows and the notes of every study; return the number of notes written."""
        written = 0
        for study in self._ledger.studies():
            mirror = Mirror(self._ledger)
            mirrored = mirror.sync(study.id)
            version = self._views.version(study.id)
            # a trial's note needs Optuna's row, and a look makes some hundred rows at
            # most
            changed = version != self._seen.get(study.id) or mirrored > 0
            line = (
                self._views.line(study.id)
                if changed or study.id in self._again
                else None
            )
            if line is not None:
                written += write_notes(
                    self._ledger, line.study, line.answer, line.records
                )
            if changed or study.id in self._owed:
                self._draw(mirror, study.id)
            self._seen[study.id] = version
            (self._again.add if changed else self._again.discard)(study.id)
        return written

    def _draw(self, mirror: Mirror, study_id: int) -> None:
        line = self._views.line(study_id)
        if line is None:
            return
        done = show_in_optuna(
            self._ledger, mirror, line.study, line.records, line.answer
        )
        (self._owed.discard if done else self._owed.add)(study_id)


@contextmanager
def keep_notes(ledger: Ledger, views: StudyViews) -> Iterator[None]:
    """Keep notes up to date while the context lasts."""
    ended, writer = threading.Event(), NoteWriter(ledger, views)

    def keep() -> None:
        while not ended.is_set():
            with suppress(Exception):  # a page without fresh notes is better than none
                writer.look()
            ended.wait(NOTES_EVERY_SECONDS)

    thread = threading.Thread(target=keep, name="lrsearch-notes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1.0)  # a transaction that is not complete is rolled back
