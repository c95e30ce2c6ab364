"""Queues retests in the ledger, or keeps the wish for the search's end, and says which."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.answer.words import count_text
from lrsearch.launch.checking import refuse_broken
from lrsearch.launch.choosing import Choice, choose, retests_of
from lrsearch.messages import Event, Listener, Note
from lrsearch.options import RetestOptions
from lrsearch.progress.listeners import silent
from lrsearch.values import Json, StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger, RetestsTaken

STOPPED = frozenset({StudyState.STOPPED, StudyState.DRAINING})


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsAdded:
    """What was done with a wish. `study` is as it stands then."""

    study: StudyRecord
    choice: Choice
    taken: RetestsTaken

    @property
    def stopped(self) -> bool:
        """No worker trains what was added until the study is resumed."""
        return self.study.state in STOPPED

    @property
    def next_step(self) -> str:
        """What lets workers train what waits."""
        name, state = quote(self.study.name), self.study.state.value
        if self.stopped:
            return f"It is {state}: lrsearch resume {name}, then lrsearch attach {name}."
        waits = self.taken.waiting or not self.taken.over
        return f"Workers train them by: lrsearch attach {name}" if waits else ""

    def to_json(self) -> dict[str, Json]:
        return {
            "study": self.study.name,
            "state": self.study.state.value,
            "search_over": self.taken.over,
            "seeds": self.choice.seeds,
            "top": self.choice.top,
            "trials": list(self.choice.trials if self.taken.over else self.choice.named),
            "added": self.taken.added,
            "waiting": self.taken.waiting,
        }

    def __str__(self) -> str:
        """One sentence for people."""
        parts = self._now() if self.taken.over else [self._later()]
        if self.choice.without_yours:
            parts.append("yours has no value and is not retested")
        return "; ".join(parts)

    def _now(self) -> list[str]:
        if not self.choice.trials:
            return ["no trial has a value: no setting is retested"]
        added, lost = self.taken.added, self.choice.failed
        what = f"{self._names()} on {_in_all(self.choice.seeds)}"
        more = f"{count_text(added, 'more retest')}: {what}"
        said = [more if added else f"{what}: no retest is missing"]
        if (earlier := self.taken.waiting - added) > 0:
            are = "are" if earlier > 1 else "is"
            said.append(f"{count_text(earlier, 'earlier retest')} {are} still to train")
        if lost:
            stay = "stay" if lost > 1 else "stays"
            ended = f"{count_text(lost, 'retest')} of them ended without a value before"
            said.append(f"{ended}, and {stay} so")
        return said

    def _later(self) -> str:
        parts, plan, choice = [], self.study.plan, self.choice
        if choice.top is not None:
            mine = "" if choice.without_yours else " and yours"
            best = f"the best {count_text(plan.retest_top, 'setting')}{mine}"
            parts.append(f"at its end {best} are retested on {_in_all(plan.retest_seeds)}")
        if choice.named:
            parts.append(f"after it {self._names()} train on {_in_all(choice.seeds)}")
        return f"the search of {self.study.name} is not over: {'; '.join(parts)}"

    def _names(self) -> str:
        numbers = [str(each) for each in self.choice.trials if each != self.choice.yours]
        named = [f"trial{'s' * (len(numbers) > 1)} {', '.join(numbers)}"] if numbers else []
        return " and ".join([*named, *([] if self.choice.yours is None else ["yours"])])


def add_retests(
    ledger: Ledger, study: StudyRecord, wanted: RetestOptions, *, listen: Listener = silent
) -> RetestsAdded:
    """Queue the retests that are wanted, or keep the wish for the search's end; says which."""
    from lrsearch.storage import RetestsAsked

    refuse_broken(study)
    taken = None
    while taken is None:  # a search trial ended meanwhile: perhaps it is among the best
        choice = choose(study, ledger.trials(study.id), wanted)
        mine = () if choice.yours is None else (choice.yours,)
        named = retests_of(study, (*choice.named, *mine), choice.seeds) if choice.named else ()
        asked = RetestsAsked(
            seeds=choice.seeds,
            top=choice.top,
            best=retests_of(study, (*choice.best, *mine), choice.seeds),
            named=named,
            ended=choice.ended,
            lasting=wanted.lasting,
        )
        taken = ledger.ask_retests(study.id, asked)
    added = RetestsAdded(study=ledger.study(study.name), choice=choice, taken=taken)
    listen(Event(message=Note(text=str(added))))
    return added


def _in_all(seeds: int) -> str:
    return f"{count_text(seeds, 'seed')} in all"
