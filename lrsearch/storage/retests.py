"""Retests: a worker plans them when the search is over, or a person asks for them.

Retests that a person asks for are queued where the search is over; else they become the
study's rule for its end. A finished study opens again for retests alone: its search
does not go on, whatever is left of its budget, and the deadline that ended it does not
count. `set_budget` and `retry_failed` let the search go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import insert, or_, select

from lrsearch.storage.claims import (
    count_ended,
    count_trainings,
    new_trial,
    search_is_over,
)
from lrsearch.storage.states import change_state
from lrsearch.storage.tables import IS_RETEST, IS_RUNNING, IS_SEARCH, IS_WAITING, trials
from lrsearch.storage.transaction import Transaction
from lrsearch.values import Json, Kind, StudyState


@dataclass(frozen=True, kw_only=True, slots=True)
class Retest:
    """A search trial's setting under a fresh seed."""

    parent: int
    repeat: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsAsked:
    """The retests that a person asks for."""

    seeds: int
    top: int | None  # settings beside yours; None: only those of `named`
    best: tuple[Retest, ...] = ()  # of the `top` settings and yours
    named: tuple[Retest, ...] = ()  # of trials asked for by their number, and yours
    ended: int  # search trials that had ended when `best` was chosen
    # The study's rule rises in any case: retests after an extension have as many seeds.
    lasting: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsTaken:
    """The result of a request for retests."""

    over: bool  # the search is over, so that retests train now
    added: int
    waiting: int  # retests still to train, earlier plans' included
    state: str  # the study's, then


# -- at the end of the search ----------------------------------------------------------


def plan_retests(
    tx: Transaction, retests: Sequence[Retest], rule: tuple[int, int] | None = None
) -> bool:
    """Queue retests; returns whether any is new. An earlier plan's retests stay.

    Queues nothing where another worker has planned since the last search trial ended:
    that worker may have had another time left. Queues nothing either where the study's
    rule for retests is no longer the `rule` by which these were chosen.
    """
    ended = count_ended(tx)
    if tx.study.retests_for >= ended or (rule is not None and rule != retest_rule(tx)):
        return False
    added = queue_retests(tx, retests)
    tx.change_study(retests_for=ended)
    return added > 0


def retest_rule(tx: Transaction) -> tuple[int, int]:
    """The retests after the search: how many seeds, and how many settings beside yours."""
    plan = tx.plan
    return plan.retest_seeds, plan.retest_top


def queue_retests(
    tx: Transaction, retests: Sequence[Retest], *, beyond: bool = False
) -> int:
    """Queue the retests that are missing, within the limit of trainings or `beyond` it.

    Returns how many are new.
    """
    mine = tx.of_study(IS_RETEST)
    rows = tx.execute(select(trials.c.parent, trials.c.repeat_no).where(mine))
    there = {(row.parent, row.repeat_no) for row in rows}
    by_key = {(each.parent, each.repeat): each for each in retests}
    new = [each for key, each in by_key.items() if key not in there]
    if tx.study.trainings is not None and not beyond:
        del new[max(0, tx.study.trainings - count_trainings(tx)) :]
    wanted = tx.of_study(IS_SEARCH, trials.c.number.in_({each.parent for each in new}))
    query = select(trials.c.number, trials.c.setting, trials.c.origin).where(wanted)
    parents = {row.number: row for row in tx.execute(query)}
    columns = []
    for number, retest in enumerate(new, len(there)):
        parent = parents[retest.parent]
        row = new_trial(
            tx,
            number=number,
            kind=Kind.RETEST,
            origin=parent.origin,
            setting=parent.setting,
        )
        repeat = {
            "parent": retest.parent,
            "repeat_no": retest.repeat,
            "seed": retest.seed,
        }
        columns.append({**row, **repeat})
    if columns:
        tx.execute(insert(trials), columns)
    return len(columns)


def plan_round(tx: Transaction, retests: Sequence[Retest], total: int) -> bool:
    """Queue a race's next retests; returns whether any is new. None of them ends the race.

    Queues nothing where the race may not have `total` retests any more.
    """
    if tx.rules.get("retest_total") != total:
        return False
    added = queue_retests(
        tx, retests[: max(0, total - tx.count(IS_RETEST))], beyond=True
    )
    if not retests:
        tx.change_rules(retest_total=None)
        if tx.study.trainings is not None:  # the rest is not spent
            tx.change_study(trainings=min(tx.study.trainings, count_trainings(tx)))
    tx.change_study(retests_for=count_ended(tx))
    return added > 0


# -- asked for by a person -------------------------------------------------------------


def ask_retests(tx: Transaction, asked: RetestsAsked) -> Json:
    """Queue retests, or raise the study's rule; returns the fields of `RetestsTaken`.

    None where a search trial has ended since the settings were chosen.
    """
    over = search_is_over(tx)
    if over and asked.top is not None and asked.ended != count_ended(tx):
        return None
    added = queue_retests(
        tx, (*asked.named, *(asked.best if over else ())), beyond=True
    )
    _raise_limit(tx, added)
    if asked.top is not None and (asked.lasting or not over):
        _raise_rule(tx, asked.seeds, asked.top, again=not over)
    waiting = tx.count(IS_RETEST, or_(IS_WAITING, IS_RUNNING))
    tx.change_study()
    if over and waiting:
        _open(tx)
    return asdict(
        RetestsTaken(over=over, added=added, waiting=waiting, state=tx.study.state)
    )


def ask_race(tx: Transaction, total: int) -> Json:
    """Let a study have `total` retests, chosen one after another; the fields of `RetestsTaken`.

    They follow now where the search is over, else at its end, in place of the usual
    ones.
    """
    over, there = search_is_over(tx), tx.count(IS_RETEST)
    more = max(0, total - there)
    waiting = tx.count(IS_RETEST, or_(IS_WAITING, IS_RUNNING))
    if more:
        tx.change_rules(retest_total=total)
        if tx.study.trainings is not None:
            trials = (
                tx.study.searched
                if over
                else max(tx.study.searched, tx.study.trials or 0)
            )
            limit = max(tx.study.trainings, trials + total)
            tx.change_study(trainings=limit)
            tx.refresh()
    tx.change_study()
    if over and (more or waiting):
        _open(tx)
    return asdict(
        RetestsTaken(over=over, added=more, waiting=waiting, state=tx.study.state)
    )


def _raise_rule(tx: Transaction, seeds: int, top: int, *, again: bool) -> None:
    old_seeds, old_top = retest_rule(tx)
    seeds, top = max(seeds, old_seeds), max(top, old_top)
    tx.change_rules(retest_seeds=seeds, retest_top=top)
    _raise_limit(tx, seeds * (top + 1) - old_seeds * (old_top + 1))
    if again:
        tx.change_study(retests_for=0)


def _raise_limit(tx: Transaction, trainings: int) -> None:
    """Raise a limit of trainings by the retests that were asked for beyond it."""
    if tx.study.trainings is not None and trainings:
        tx.change_study(trainings=tx.study.trainings + trainings)
        tx.refresh()


def _open(tx: Transaction) -> None:
    """Let retests train: retests alone in a study that has ended."""
    finished = tx.study.state == StudyState.FINISHED
    late = tx.study.deadline is not None and tx.study.deadline <= tx.now
    if finished or late:
        tx.change_rules(retests_only=True)
        tx.change_study(retests_for=count_ended(tx))
        tx.refresh()
    if finished:
        change_state(tx, StudyState.OPEN)
        tx.refresh()
