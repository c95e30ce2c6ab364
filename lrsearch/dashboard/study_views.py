"""What the pages show of each study, kept until the study changes.

Reading what changed takes milliseconds; making an answer of 10,000 trials takes
seconds. So an answer is made again only where something changed, and of a study that
changes all the time only as often as a tenth of the time allows.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lrsearch.report.html.gathering import gather
from lrsearch.report.html.page import report_body
from lrsearch.report.html.sections import ReportData
from lrsearch.report.html.studies_page import StudyLine
from lrsearch.report.reading import read_answer
from lrsearch.storage import Follower
from lrsearch.values import StudyRecord

if TYPE_CHECKING:
    from lrsearch.report.html.markup import Markup
    from lrsearch.storage import Ledger

SHARE = 10.0  # a view is kept for this many times as long as making it took


@dataclass
class _View:
    """A study's view, and what it was made from."""

    follower: Follower
    lock: threading.Lock = field(default_factory=threading.Lock)
    line: StudyLine | None = None
    version: str = ""
    made_at: float = 0.0
    took: float = 0.0
    body: Markup | None = None
    body_version: str = ""


class StudyViews:
    """The views of all studies in a ledger; any thread may ask."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: dict[int, _View] = {}
        self._lock = threading.Lock()

    def lines(self) -> list[StudyLine]:
        """Every study's view; one that was deleted meanwhile is left out."""
        found = (self.line(each.id) for each in self._ledger.studies())
        return [each for each in found if each is not None]

    def versions(self) -> str:
        """Changes whenever any study does."""
        found = [
            f"{each.id}:{self.version(each.id)}" for each in self._ledger.studies()
        ]
        return _short(" ".join(found))

    def version(self, study_id: int) -> str | None:
        """Changes whenever the study does; None where there is none."""
        return None if self.line(study_id) is None else self._of(study_id).version

    def line(self, study_id: int) -> StudyLine | None:
        """A study's view, made again where the study changed; None where there is none."""
        kept = self._of(study_id)
        with kept.lock:
            if (
                kept.line is not None
                and time.monotonic() < kept.made_at + SHARE * kept.took
            ):
                return kept.line
            self._renew(study_id, kept)
            return kept.line

    def body(self, study_id: int) -> tuple[Markup, str] | None:
        """The report's body and its version; None where there is no such study."""
        line = self.line(study_id)
        if line is None:
            return None
        kept = self._of(study_id)
        with kept.lock:
            if kept.body is None or kept.body_version != kept.version:
                began = time.monotonic()
                kept.body = report_body(self.data(line))
                kept.body_version = kept.version
                kept.took += time.monotonic() - began
            return kept.body, kept.body_version

    def data(self, line: StudyLine) -> ReportData:
        """What the report of a view shows."""
        return gather(self._ledger, line.study, line.records, line.answer)

    def _of(self, study_id: int) -> _View:
        with self._lock:
            if study_id not in self._kept:
                self._kept[study_id] = _View(Follower(self._ledger, study_id))
            return self._kept[study_id]

    def _renew(self, study_id: int, kept: _View) -> None:
        """Raises StorageUnavailable."""
        began = time.monotonic()
        if kept.line is None:
            # With patience: a glance has one try of two seconds, and 10,000 trials may
            # take longer.
            kept.follower.read()
        glance = kept.follower.glance()
        if glance is None:
            kept.line = None
            with self._lock:
                self._kept.pop(study_id, None)
            return
        alive = sum(each.is_there(glance.now) for each in glance.workers)
        version = _version(glance.study, kept.follower, alive)
        if kept.line is not None and version == kept.version:
            return
        records = kept.follower.records
        kept.line = StudyLine(
            study=glance.study,
            records=records,
            answer=read_answer(self._ledger, glance.study, records),
            workers=glance.workers,
            now=glance.now,
        )
        kept.version, kept.made_at = version, time.monotonic()
        kept.took = kept.made_at - began


def _version(study: StudyRecord, follower: Follower, alive: int) -> str:
    budget = (study.trials, study.trainings, study.deadline)
    parts = (
        follower.revision,
        study.state,
        study.reason,
        *budget,
        len(study.changes),
        alive,
    )
    return _short(repr(parts))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
