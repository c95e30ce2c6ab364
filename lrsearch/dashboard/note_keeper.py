"""Keeps the notes of every study up to date on a thread, while the dashboard is served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lrsearch.answer import summarise
from lrsearch.report.notes import write_notes
from lrsearch.storage import Follower, Mirror

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

NOTES_EVERY_SECONDS = 30.0


class NoteWriter:
    """Writes the notes of studies that have changed since its last look."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._followers: dict[int, Follower] = {}
        # studies that changed at the last look: Optuna's rows may have come afterwards
        self._again: set[int] = set()

    def look(self) -> int:
        """Update Optuna's rows and the notes of every study; return the number of notes written."""
        studies = self._ledger.studies()
        self._followers = {
            each.id: self._followers.get(each.id) or Follower(self._ledger, each.id)
            for each in studies
        }
        written = 0
        for study in studies:
            Mirror(self._ledger).sync(study.id)
            follower = self._followers[study.id]
            changed = follower.read()
            if changed or study.id in self._again:
                records, attempts = follower.records, self._ledger.all_attempts(study.id)
                scores = self._ledger.row_scores(study.id)
                answer = summarise(study, records, attempts, scores=scores)
                written += write_notes(self._ledger, study, answer, records)
            (self._again.add if changed else self._again.discard)(study.id)
        return written


@contextmanager
def keep_notes(ledger: Ledger) -> Iterator[None]:
    """Keep notes up to date while the context lasts."""
    ended, writer = threading.Event(), NoteWriter(ledger)

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
