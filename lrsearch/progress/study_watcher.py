"""Reports the state of a study over all its workers on all machines."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from lrsearch.answer import (
    SHELL,
    Contender,
    Ways,
    build_leaderboard,
    evidence_text,
    seconds_left,
)
from lrsearch.errors import LrSearchError, StorageGone
from lrsearch.events import Event, Listener
from lrsearch.messages import (
    Message,
    Note,
    Result,
    StudyAnswer,
    StudyBegun,
    StudyCounts,
    TrialEnded,
)
from lrsearch.progress.billing import BillEstimator
from lrsearch.report.words import setting_text
from lrsearch.values import Kind, Origin, StudyRecord, StudyState, TrialRecord

if TYPE_CHECKING:
    from lrsearch.storage import Counts, Glance, Ledger

COUNT_EVERY_SECONDS = 2.0


class StudyWatcher:
    """Sends the counts, the best, yours and the time left of a study.

    All of them come from the ledger and from the answer's own functions, so that every
    view of a study shows the same.
    """

    def __init__(
        self,
        ledger: Ledger,
        study: StudyRecord,
        listen: Listener,
        *,
        workers: int = 1,
        ways: Ways = SHELL,
    ) -> None:
        from lrsearch.storage import Follower

        self._ledger = ledger
        self._study = study
        self._listen = listen
        self._ways = ways
        self._estimator = BillEstimator(study, listen, workers=workers)
        self._next = time.monotonic() + COUNT_EVERY_SECONDS
        self._follower = Follower(ledger, study.id)
        self._leaderboard = build_leaderboard(study.facts, ())
        # trials that changed since the last `counts` event
        self._unsent: list[TrialRecord] = []

    def begin(self) -> None:
        """Send the `study` event: budget, done trials, best and yours so far."""
        study, facts = self._study, self._study.facts
        self._follower.read()
        records = self._unsent = self._follower.records
        self._leaderboard = build_leaderboard(facts, records)
        self._send(
            StudyBegun(
                study=study.name,
                objective=facts.objective,
                direction=facts.direction,
                trials=study.trials,
                trainings=study.trainings,
                done=sum(each.ended for each in records if each.is_search),
                deadline=study.deadline,
                retest=study.plan.retest_seeds,
                retested=study.plan.retest_top + 1,
                best=_to_result(self._leaderboard.best),
                yours=_to_result(self._leaderboard.yours),
            )
        )
        self._look()

    def look(self) -> None:
        """Send the `counts` and `answer` events, every two seconds."""
        if time.monotonic() >= self._next:
            self._look()

    def handle(self, event: Event) -> None:
        """Send the bill when it is known, and a new `answer` before the end of a leading trial."""
        self._estimator.handle(event, self._follower.records)
        ended = event.message
        changes = isinstance(ended, TrialEnded) and self._may_change(ended)
        if changes and (glance := self._glance()) is not None:
            self._send_answer(glance)

    def _may_change(self, ended: TrialEnded) -> bool:
        if not ended.status.terminal:
            return False
        best, value = self._leaderboard.best, ended.value
        if ended.kind is Kind.RETEST or ended.origin is Origin.YOURS or best is None:
            return True
        better = self._study.direction.better
        return value is not None and (best.value is None or better(value, best.value))

    def end(self) -> None:
        """Send a note of the trainings for which the study had no time."""
        with suppress(LrSearchError):
            study = self._ledger.study(self._study.name)
            text = _describe_undone(study, self._ledger.counts(study.id), self._ways)
            if text:
                self._send(Note(text=text))

    def _look(self) -> None:
        self._next = time.monotonic() + COUNT_EVERY_SECONDS
        if (glance := self._glance()) is not None:
            self._send_counts(glance)
            self._send_answer(glance)

    def _glance(self) -> Glance | None:
        try:
            glance = self._follower.glance()
        except StorageGone:  # nobody could find the results later
            raise
        except LrSearchError:  # an outage; the workers report it
            return None
        self._unsent = [*self._unsent, *(glance.changed if glance is not None else ())]
        return glance

    def _send_counts(self, glance: Glance) -> None:
        counts, study = glance.counts, glance.study
        ended = [each for each in self._unsent if each.ended]
        self._unsent = []
        self._send(
            StudyCounts(
                ended=tuple(each.label for each in ended if each.is_search),
                retests_ended=tuple(each.label for each in ended if each.is_retest),
                retests=counts.retests,
                running=counts.running,
                waiting=counts.waiting,
                failed=counts.failed,
                trials=study.trials,
                trainings=study.trainings,
                deadline=study.deadline,
            )
        )

    def _send_answer(self, glance: Glance) -> None:
        records = self._follower.records
        if glance.changed:
            self._leaderboard = build_leaderboard(self._study.facts, records)
        left = seconds_left(glance.study, records, glance.workers, now=glance.now)
        best = _to_result(self._leaderboard.best)
        yours = _to_result(self._leaderboard.yours)
        self._send(StudyAnswer(best=best, yours=yours, seconds_left=left))

    def _send(self, message: Message) -> None:
        self._listen(Event(message=message))


def _describe_undone(study: StudyRecord, counts: Counts, ways: Ways) -> str:
    """The trainings for which a study had no time, for people; empty where all were trained."""
    if study.deadline is None or study.state is not StudyState.FINISHED:
        return ""
    undone = counts.retests - counts.retests_done
    facts = []
    if study.trials is None and not counts.done:
        facts.append("no trial could begin")
    elif study.trials is not None and counts.done < study.trials:
        facts.append(f"{counts.done} of {study.trials} trials were trained")
    if undone > 0:
        facts.append(f"{undone} of {counts.retests} retests were not done")
    if counts.complete and study.plan.retest_seeds and not counts.retests:
        facts.append("there was no time for retests")
    undone_text = ", ".join(facts)
    return (
        f"the time is over: {undone_text}; {ways.say('time', study.name)}"
        if facts
        else ""
    )


def _to_result(contender: Contender | None) -> Result | None:
    """Convert a contender to its form in messages."""
    if contender is None:
        return None
    return Result(
        number=contender.trial,
        value=contender.value,
        short=setting_text(contender.setting),
        state=contender.state,
        seeds=contender.seeds,
        evidence=evidence_text(contender.retest),
    )
