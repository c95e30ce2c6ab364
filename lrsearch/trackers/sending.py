"""Sends a study's trainings to trackers, once or for as long as it goes on.

Beside a search this runs in a process of its own, so a tracker that is away or slow
costs no training anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from shlex import join
from typing import TYPE_CHECKING

from lrsearch.errors import EnvironmentProblem, UnknownName, text_of
from lrsearch.report.reading import read_answer
from lrsearch.trackers.places import Place
from lrsearch.trackers.runs import Run, Tracker, key_of, make_run
from lrsearch.values import StudyState, TrialRecord

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

# Between two looks at the ledger. What is left at the end is sent while the answer is
# made, when all cores but one are free.
EVERY_SECONDS = 10.0
_BATCH = 50  # runs that are made before they are sent


def follow(
    senders: Sequence[Sender], over: threading.Event, warn: Callable[[str], None]
) -> None:
    """Send until the study has ended or `over` is set, and what is left then.

    A tracker that is away is tried again at every look, and said once. Raises
    EnvironmentProblem where a tracker is away in the end.
    """
    said: set[Sender] = set()
    while True:
        last = over.is_set() or all(each.is_over() for each in senders)
        failures = {
            each: error for each in senders if (error := _try(each)) is not None
        }
        if last:
            break
        for each in failures.keys() - said:
            warn(str(failures[each]))
        said |= failures.keys()
        over.wait(EVERY_SECONDS)
    for error in failures.values():
        raise error


def _try(sender: Sender) -> EnvironmentProblem | None:
    try:
        sender.send()
    except EnvironmentProblem as error:
        return error
    return None


class Sender:
    """One study's way to one tracker."""

    def __init__(self, ledger: Ledger, study: str, place: Place) -> None:
        from lrsearch.storage import Follower

        self._ledger, self.place = ledger, place
        self._study = ledger.study(study)
        self._follower = Follower(ledger, self._study.id)
        self._tracker: Tracker | None = None
        self._sent: set[str] = set()
        self.count = 0  # runs sent by this object

    def send(self) -> None:
        """Send what has ended and is not there yet; the verdict, where the study has ended.

        Raises EnvironmentProblem where the tracker does not take it; another call goes
        on.
        """
        self._follower.read()
        try:
            self._send_runs()
            if self._ledger.study(self._study.name).state is StudyState.FINISHED:
                self._conclude()
        except Exception as error:  # whatever a tracker's library raises
            text = f"{self.place} does not take runs: {type(error).__name__}: {text_of(error)}"
            words = ["lrsearch", "log", self._study.name, "--to", str(self.place)]
            fix = f"Send them later: {join(words)}"
            raise EnvironmentProblem(" ".join(text.split()), fix=fix) from error

    def is_over(self) -> bool:
        """Whether the study has ended, or was deleted."""
        ended = {StudyState.FINISHED, StudyState.BROKEN}
        try:
            return self._ledger.study(self._study.name).state in ended
        except UnknownName:
            return True

    def _send_runs(self) -> None:
        tracker = self._open()
        fresh = [each for each in self._follower.records if each.ended]
        fresh = [each for each in fresh if key_of(each) not in self._sent]
        for start in range(0, len(fresh), _BATCH):
            runs = list(map(self._run, fresh[start : start + _BATCH]))
            runs = [each for each in runs if each.key not in self._sent]
            tracker.send(runs)
            self._sent |= {each.key for each in runs}
            self.count += len(runs)

    def _open(self) -> Tracker:
        if self._tracker is None:
            tracker = self.place.open()
            self._sent = tracker.begin(self._study.name)
            self._tracker = tracker
        return self._tracker

    def _run(self, record: TrialRecord) -> Run:
        return make_run(self._study.name, record, self._ledger.curve(record.id))

    def _conclude(self) -> None:
        study = self._ledger.study(self._study.name)
        data = read_answer(self._ledger, study, self._follower.records).to_json()
        self._open().conclude(data["verdict"]["text"], data)
