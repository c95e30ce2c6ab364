"""Lets a study have so many retests, chosen one after another, and trains them here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.answer import rank_trials
from lrsearch.answer.words import count_text
from lrsearch.errors import InvalidValue, Refused
from lrsearch.events import Listener
from lrsearch.launch.checking import nothing_to_retest, refuse_broken
from lrsearch.launch.common_steps import (
    complete_study,
    open_stored_study,
    start_workers,
    train,
)
from lrsearch.launch.queueing import training_step
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import ignore, protect_training
from lrsearch.values import Json, StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger, RetestsTaken


@dataclass(frozen=True, kw_only=True, slots=True)
class Race:
    """What was done with the wish for `total` retests; `study` is as it stands afterwards."""

    study: StudyRecord
    total: int
    taken: RetestsTaken
    trained: int = 0  # retests that were made here

    @property
    def next_step(self) -> str:
        """The command that lets workers train the retests."""
        return training_step(self.study, waits=bool(self.taken.added))

    def to_json(self) -> dict[str, Json]:
        return {
            "study": self.study.name,
            "state": self.study.state.value,
            "search_over": self.taken.over,
            "total": self.total,
            "added": self.taken.added,
            "trained": self.trained,
            "waiting": self.taken.waiting,
        }

    def __str__(self) -> str:
        """One sentence for people."""
        name = self.study.name
        if not self.taken.added:
            return f"{name} has {count_text(self.total, 'retest')} already"
        when = "" if self.taken.over else " after its search"
        return f"up to {count_text(self.taken.added, 'more retest')} of {name}{when}"


def race(
    name: str,
    total: int,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    plan_only: bool = False,
    study_file: str | Path | None = None,
    listen: Listener = ignore,
) -> Race:
    """Let the study have `total` retests in all, and train them here unless `plan_only`.

    Fewer are made where the best is told apart before. During the search, or in a
    stopped study, nothing is trained here. Raises the errors of
    `lrsearch.launch.attach`, InvalidValue, Refused.
    """
    if total < 1:
        raise InvalidValue("total", got=total, allowed="at least 1")
    listen = protect_training(listen)
    with open_stored_study(name, machine) as (ledger, study):
        over, there = _look(ledger, study)
        if plan_only or not over or study.state.is_stopped or there >= total:
            return _ask(ledger, study, total)
        with start_workers(
            ledger,
            study,
            search,
            machine,
            study_file=study_file,
            listen=listen,
            left=total - there,
        ) as (pool, slots):
            asked = _ask(ledger, study, total)
            if asked.study.state is StudyState.OPEN:
                train(pool, ledger, asked.study, slots, listen)
        trained = ledger.counts(study.id).retests_done - there
    return Race(
        study=complete_study(name, machine),
        total=total,
        taken=asked.taken,
        trained=trained,
    )


def _look(ledger: Ledger, study: StudyRecord) -> tuple[bool, int]:
    """Whether the search is over, and how many retests there are. Raises Refused."""
    if folds := study.facts.folds:
        fix = f"Use lrsearch retest {quote(study.name)} --seeds {2 * folds}."
        uneven = "a race would retest some settings on some folds, and means of other folds differ."
        raise Refused(f"study {study.name!r} has {folds} folds; {uneven}", fix=fix)
    over = ledger.search_is_over(study.id)
    if over and not rank_trials(ledger.trials(study.id), study.direction):
        raise nothing_to_retest(study)
    return over, ledger.counts(study.id).retests


def _ask(ledger: Ledger, study: StudyRecord, total: int) -> Race:
    refuse_broken(study)
    taken = ledger.ask_race(study.id, total)
    return Race(study=ledger.study(study.name), total=total, taken=taken)
