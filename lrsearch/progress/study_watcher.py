"""Tells listeners how a study stands, all its workers on all machines taken together."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from lrsearch.answer import (
    SHELL,
    Contender,
    Ways,
    evidence_text,
    find_standing,
    seconds_left,
)
from lrsearch.errors import LrSearchError, StorageGone
from lrsearch.messages import (
    Event,
    Listener,
    Message,
    Note,
    Result,
    StudyAnswer,
    StudyBegun,
    StudyCounts,
    TrialEnded,
)
from lrsearch.progress.billing import Biller
from lrsearch.report.words import setting_text
from lrsearch.values import (
    Kind,
    Origin,
    StudyRecord,
    StudyState,
    TrialRecord,
)

if TYPE_CHECKING:
    from lrsearch.storage import Counts, Glance, Ledger

COUNT_EVERY_SECONDS = 2.0


class StudyWatcher:
    """Tells listeners how the study stands, all its workers taken together, on any machine: counts,
    best, yours, time left.

    All of it comes from the ledger and from the answer's own functions, so that every view of a
    study shows the same.
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

        self._ledger, self._study, self._listen, self._ways = ledger, study, listen, ways
        self._biller = Biller(study, listen, workers=workers)
        self._next = time.monotonic() + COUNT_EVERY_SECONDS
        self._follower = Follower(ledger, study.id)
        self._stands = find_standing(study.plan.facts, ())
        self._untold: list[TrialRecord] = []  # what has changed since the last `counts` event

    def begin(self) -> None:
        """The `study` event: budget, what is done, best and yours so far."""
        study, facts = self._study, self._study.plan.facts
        self._follower.read()
        records = self._untold = self._follower.records
        self._stands = find_standing(facts, records)
        self._tell(
            StudyBegun(
                study=study.name,
                objective=facts.objective,
                direction=facts.direction,
                trials=study.trials,
                trainings=study.trainings,
                done=sum(each.state.terminal for each in records if each.kind is Kind.SEARCH),
                deadline=study.deadline,
                retest=study.plan.retest_seeds,
                retested=study.plan.retest_top + 1,
                best=brief(self._stands.best),
                yours=brief(self._stands.yours),
            )
        )
        self._look()

    def look(self) -> None:
        """The `counts` and `answer` events, when it is time."""
        if time.monotonic() >= self._next:
            self._look()

    def hear(self, event: Event) -> None:
        """The `answer` event before the end of a trial is told that may have changed it; the `bill`
        once it is known.
        """
        self._biller.hear(event, self._follower.records)
        ended = event.message
        changes = isinstance(ended, TrialEnded) and self._may_change(ended)
        if changes and (seen := self._glance()) is not None:
            self._answer(seen)

    def _may_change(self, ended: TrialEnded) -> bool:
        if not ended.status.terminal:
            return False
        best, value = self._stands.best, ended.value
        if ended.kind is Kind.RETEST or ended.origin is Origin.YOURS or best is None:
            return True
        better = self._study.plan.facts.direction.better
        return value is not None and (best.value is None or better(value, best.value))

    def end(self) -> None:
        """A note of what the study's time had no room for."""
        with suppress(LrSearchError):
            study = self._ledger.study(self._study.name)
            text = left_undone(study, self._ledger.counts(study.id), self._ways)
            if text:
                self._tell(Note(text=text))

    def _look(self) -> None:
        self._next = time.monotonic() + COUNT_EVERY_SECONDS
        if (seen := self._glance()) is not None:
            self._count(seen)
            self._answer(seen)

    def _glance(self) -> Glance | None:
        try:
            seen = self._follower.glance()
        except StorageGone:  # nothing that is trained now would be found
            raise
        except LrSearchError:  # an outage: the workers say so
            return None
        self._untold = [*self._untold, *(seen.changed if seen is not None else ())]
        return seen

    def _count(self, seen: Glance) -> None:
        counts = seen.counts
        ended = [each for each in self._untold if each.state.terminal]
        self._untold = []
        self._tell(
            StudyCounts(
                ended=tuple(each.label for each in ended if each.kind is Kind.SEARCH),
                retests_ended=tuple(each.label for each in ended if each.kind is Kind.RETEST),
                retests=counts.retests,
                running=counts.running,
                waiting=counts.waiting,
                failed=counts.failed,
                trials=seen.study.trials,
                trainings=seen.study.trainings,
                deadline=seen.study.deadline,
            )
        )

    def _answer(self, seen: Glance) -> None:
        records = self._follower.records
        if seen.changed:
            self._stands = find_standing(self._study.plan.facts, records)
        left = seconds_left(seen.study, records, seen.workers, now=seen.now)
        best, yours = brief(self._stands.best), brief(self._stands.yours)
        self._tell(StudyAnswer(best=best, yours=yours, seconds_left=left))

    def _tell(self, message: Message) -> None:
        self._listen(Event(message=message))


def left_undone(study: StudyRecord, counts: Counts, ways: Ways = SHELL) -> str:
    """What a study that its time-out ended has not done; empty where it has done all."""
    if study.deadline is None or study.state is not StudyState.FINISHED:
        return ""
    undone = counts.retests - counts.retests_done
    found = {
        f"{counts.done} of {study.trials} trials were trained": study.trials is not None
        and counts.done < study.trials,
        "no trial could begin": study.trials is None and not counts.done,
        f"{undone} of {counts.retests} retests were not done": undone > 0,
        "there was no time for retests": bool(
            counts.complete and study.plan.retest_seeds and not counts.retests
        ),
    }
    said = ", ".join(text for text, holds in found.items() if holds)
    return f"the time is over: {said}; {ways.say('time', study.name)}" if said else ""


def brief(contender: Contender | None) -> Result | None:
    """A contender as messages tell of it."""
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
