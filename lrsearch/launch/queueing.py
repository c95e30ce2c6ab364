"""Queues retests in the ledger, or stores the request until the search's end."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.answer.words import count_text
from lrsearch.events import Listener
from lrsearch.launch.checking import refuse_broken
from lrsearch.launch.retest_choice import RetestChoice, choose_settings, list_retests
from lrsearch.options import RetestOptions
from lrsearch.progress.listeners import ignore, send_note
from lrsearch.values import Json, StudyRecord

if TYPE_CHECKING:
    from lrsearch.storage import Ledger, RetestsTaken


def training_step(study: StudyRecord, *, waits: bool) -> str:
    """The command that lets workers train the study's retests; empty where none `waits`."""
    name = quote(study.name)
    if study.state.is_stopped:
        return f"It is {study.state.value}: lrsearch resume {name}, then lrsearch attach {name}."
    return f"Workers train them by: lrsearch attach {name}" if waits else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsAdded:
    """The result of a request for retests; `study` is the study afterwards."""

    study: StudyRecord
    choice: RetestChoice
    taken: RetestsTaken

    @property
    def next_step(self) -> str:
        """The command that lets workers train the waiting retests."""
        return training_step(
            self.study, waits=bool(self.taken.waiting) or not self.taken.over
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "study": self.study.name,
            "state": self.study.state.value,
            "search_over": self.taken.over,
            "seeds": self.choice.seeds,
            "top": self.choice.top,
            "trials": list(
                self.choice.trials if self.taken.over else self.choice.named
            ),
            "added": self.taken.added,
            "waiting": self.taken.waiting,
        }

    def __str__(self) -> str:
        """One sentence for people."""
        parts = (
            self._describe_queued() if self.taken.over else [self._describe_stored()]
        )
        if self.choice.without_yours:
            parts.append("yours has no value and is not retested")
        return "; ".join(parts)

    def _describe_queued(self) -> list[str]:
        if not self.choice.trials:
            return ["no trial has a value: no setting is retested"]
        added, lost = self.taken.added, self.choice.failed
        what = f"{self._names()} on {_in_all(self.choice.seeds)}"
        more = f"{count_text(added, 'more retest')}: {what}"
        parts = [more if added else f"{what}: no retest is missing"]
        if (earlier := self.taken.waiting - added) > 0:
            are = "are" if earlier > 1 else "is"
            parts.append(
                f"{count_text(earlier, 'earlier retest')} {are} still to train"
            )
        if lost:
            stay = "stay" if lost > 1 else "stays"
            ended = f"{count_text(lost, 'retest')} of them ended without a value before"
            parts.append(f"{ended}, and {stay} so")
        return parts

    def _describe_stored(self) -> str:
        parts, plan, choice = [], self.study.plan, self.choice
        if choice.top is not None:
            mine = "" if choice.without_yours else " and yours"
            best = f"{count_text(plan.retest_top, 'setting')}{mine}"
            parts.append(
                f"at its end {best} are retested on {_in_all(plan.retest_seeds)}"
            )
        if choice.named:
            parts.append(f"after it {self._names()} train on {_in_all(choice.seeds)}")
        return f"the search of {self.study.name} is not over: {'; '.join(parts)}"

    def _names(self) -> str:
        numbers = [
            str(each) for each in self.choice.trials if each != self.choice.yours
        ]
        named = (
            [f"trial{'s' * (len(numbers) > 1)} {', '.join(numbers)}"] if numbers else []
        )
        return " and ".join([*named, *([] if self.choice.yours is None else ["yours"])])


def add_retests(
    ledger: Ledger,
    study: StudyRecord,
    wanted: RetestOptions,
    *,
    listen: Listener = ignore,
) -> RetestsAdded:
    """Queue the wanted retests, or store the request until the search's end; send a note."""
    from lrsearch.storage import RetestsAsked

    refuse_broken(study)
    taken = None
    # again after a search trial's end: the trial may be among the best
    while taken is None:
        choice = choose_settings(study, ledger.trials(study.id), wanted)
        mine = () if choice.yours is None else (choice.yours,)
        named = (
            list_retests(study, (*choice.named, *mine), choice.seeds)
            if choice.named
            else ()
        )
        wish = RetestsAsked(
            seeds=choice.seeds,
            top=choice.top,
            best=list_retests(study, (*choice.best, *mine), choice.seeds),
            named=named,
            ended=choice.ended,
            lasting=wanted.lasting,
        )
        taken = ledger.ask_retests(study.id, wish)
    added = RetestsAdded(study=ledger.study(study.name), choice=choice, taken=taken)
    send_note(listen, str(added))
    return added


def _in_all(seeds: int) -> str:
    return f"{count_text(seeds, 'seed')} in all"
