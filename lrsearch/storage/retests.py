"""Retests: planned by a worker when the search is over, or asked for by somebody.

Retests that somebody asks for are queued where the search is over; else they become the study's
rule for its end. A finished study opens again for retests alone: its search does not go on,
whatever is left of its budget, and the deadline that ended it does not hold. `set_budget` and
`retry_failed` let the search go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select

from lrsearch.storage.claims import count_ended, count_trainings, new_trial, search_is_over
from lrsearch.storage.states import change_state
from lrsearch.storage.tables import trials
from lrsearch.storage.transaction import Transaction
from lrsearch.values import Json, Kind, Origin, StudyState, TrialState


@dataclass(frozen=True, kw_only=True, slots=True)
class Retest:
    """A search trial's setting, once more, under a fresh seed."""

    parent: int
    repeat: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsAsked:
    """What somebody asks for."""

    seeds: int
    top: int | None  # settings beside yours; None: only those of `named`
    best: tuple[Retest, ...] = ()  # of the `top` settings and yours
    named: tuple[Retest, ...] = ()  # of trials asked for by their number, and yours
    ended: int  # search trials that had ended when `best` was chosen
    # the study's rule rises in any case: what is retested after an extension has as many seeds
    lasting: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsTaken:
    """What came of it."""

    over: bool  # the search is over, so that retests train now
    added: int
    waiting: int  # retests to train, those of earlier plans too
    state: str  # the study's, then


# -- at the end of the search ------------------------------------------------------------------


def plan_retests(
    tx: Transaction, retests: Sequence[Retest], rule: tuple[int, int] | None = None
) -> bool:
    """Queue retests; those that exist already, from an earlier plan, stay as they are.

    Whether there were new ones.

    Nothing where another worker has planned since the last search trial ended: it may have reckoned
    with another time left. Nor where the number of seeds or of settings is not the `rule` any more
    that they were chosen by.
    """
    if tx.study.retests_for >= count_ended(tx) or (rule is not None and rule != retest_rule(tx)):
        return False
    added = queue_retests(tx, retests)
    tx.change_study(retests_for=count_ended(tx))
    return added > 0


def retest_rule(tx: Transaction) -> tuple[int, int]:
    """On how many seeds how many settings beside yours are retested when the search is over."""
    plan = tx.plan
    return plan.retest_seeds, plan.retest_top


def queue_retests(tx: Transaction, retests: Sequence[Retest], *, beyond: bool = False) -> int:
    """Queue those that are not there, within the limit of trainings or `beyond` it; returns their
    number.
    """
    mine = tx.of_study(trials.c.kind == Kind.RETEST.value)
    found = tx.execute(select(trials.c.parent, trials.c.repeat_no).where(mine))
    there = {(row.parent, row.repeat_no) for row in found}
    new = {
        (each.parent, each.repeat): each
        for each in retests
        if (each.parent, each.repeat) not in there
    }
    if tx.study.trainings is not None and not beyond:
        new = dict(list(new.items())[: max(0, tx.study.trainings - count_trainings(tx))])
    parents = _settings(tx, {each.parent for each in new.values()})
    rows = [
        {
            **new_trial(
                tx,
                number=len(there) + place,
                kind=Kind.RETEST,
                origin=Origin(parents[each.parent].origin),
            ),
            "setting": parents[each.parent].setting,
            "parent": each.parent,
            "repeat_no": each.repeat,
            "seed": each.seed,
        }
        for place, each in enumerate(new.values())
    ]
    if rows:
        tx.execute(insert(trials), rows)
    return len(rows)


def _settings(tx: Transaction, numbers: set[int]) -> dict[int, Any]:
    wanted = tx.of_study(trials.c.kind == Kind.SEARCH.value, trials.c.number.in_(numbers))
    rows = tx.execute(select(trials.c.number, trials.c.setting, trials.c.origin).where(wanted))
    return {row.number: row for row in rows}


# -- asked for later -----------------------------------------------------------------------------


def ask(tx: Transaction, asked: RetestsAsked) -> Json:
    """The fields of `RetestsTaken`; None where a search trial has ended since the choice."""
    over = search_is_over(tx)
    if over and asked.top is not None and asked.ended != count_ended(tx):
        return None
    added = queue_retests(tx, (*asked.named, *(asked.best if over else ())), beyond=True)
    _raise_limit(tx, added)
    if asked.top is not None and (asked.lasting or not over):
        _raise_rule(tx, asked.seeds, asked.top, again=not over)
    waiting = _count_waiting(tx)
    tx.change_study()
    if over and waiting:
        _open(tx)
    return asdict(RetestsTaken(over=over, added=added, waiting=waiting, state=tx.study.state))


def _raise_rule(tx: Transaction, seeds: int, top: int, *, again: bool) -> None:
    old_seeds, old_top = retest_rule(tx)
    seeds, top = max(seeds, old_seeds), max(top, old_top)
    tx.change_rules(retest_seeds=seeds, retest_top=top)
    _raise_limit(tx, seeds * (top + 1) - old_seeds * (old_top + 1))
    if again:
        tx.change_study(retests_for=0)


def _raise_limit(tx: Transaction, trainings: int) -> None:
    """A limit of trainings rises by what is asked for beyond it."""
    if tx.study.trainings is not None and trainings:
        tx.change_study(trainings=tx.study.trainings + trainings)
        tx.refresh()


def _open(tx: Transaction) -> None:
    """Let retests train: in a study that has ended these alone."""
    finished = tx.study.state == StudyState.FINISHED
    late = tx.study.deadline is not None and tx.study.deadline <= tx.now
    if finished or late:
        tx.change_rules(retests_only=True)
        tx.change_study(retests_for=count_ended(tx))
        tx.refresh()
    if finished:
        change_state(tx, StudyState.OPEN)
        tx.refresh()


def _count_waiting(tx: Transaction) -> int:
    open_states = (TrialState.WAITING.value, TrialState.RUNNING.value)
    return tx.count(trials.c.kind == Kind.RETEST.value, trials.c.state.in_(open_states))
