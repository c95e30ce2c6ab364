"""Retests that somebody asks for: queued where the search is over, else kept as the study's rule
for its end.

A study that has finished is open again for them, and for them alone: its search does not go on,
whatever is left of its budget, and the deadline that ended it does not hold. `set_budget` and
`retry_failed` let the search go on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import and_, func, select

from lrsearch.storage.claims import count_ended, search_is_over
from lrsearch.storage.move import Move
from lrsearch.storage.states import change_state
from lrsearch.storage.studies import Retest, queue_retests, retest_rule
from lrsearch.storage.tables import trials
from lrsearch.values import Json, Kind, StudyState, TrialState


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


def ask(move: Move, asked: RetestsAsked) -> Json:
    """The fields of `RetestsTaken`; None where search trials have ended since the best were chosen."""
    over = search_is_over(move)
    if over and asked.top is not None and asked.ended != count_ended(move):
        return None
    added = queue_retests(move, (*asked.named, *(asked.best if over else ())), beyond=True)
    _raise_limit(move, added)
    if asked.top is not None and (asked.lasting or not over):
        _raise_rule(move, asked.seeds, asked.top, again=not over)
    waiting = _count_waiting(move)
    move.change_study()
    if over and waiting:
        _open(move)
    return asdict(RetestsTaken(over=over, added=added, waiting=waiting, state=move.study.state))


def _raise_rule(move: Move, seeds: int, top: int, *, again: bool) -> None:
    old_seeds, old_top = retest_rule(move)
    seeds, top = max(seeds, old_seeds), max(top, old_top)
    move.change_rules(retest_seeds=seeds, retest_top=top)
    _raise_limit(move, seeds * (top + 1) - old_seeds * (old_top + 1))
    if again:
        move.change_study(retests_for=0)


def _raise_limit(move: Move, trainings: int) -> None:
    """A limit of trainings rises by what is asked for beyond it."""
    if move.study.trainings is not None and trainings:
        move.change_study(trainings=move.study.trainings + trainings)
        move.refresh()


def _open(move: Move) -> None:
    """Let retests train: in a study that has ended these alone."""
    finished = move.study.state == StudyState.FINISHED
    late = move.study.deadline is not None and move.study.deadline <= move.now
    if finished or late:
        move.change_rules(retests_only=True)
        move.change_study(retests_for=count_ended(move))
        move.refresh()
    if finished:
        change_state(move, StudyState.OPEN)
        move.refresh()


def _count_waiting(move: Move) -> int:
    mine = and_(trials.c.study_id == move.study_id, trials.c.kind == Kind.RETEST.value)
    open_states = (TrialState.WAITING.value, TrialState.RUNNING.value)
    query = select(func.count()).select_from(trials).where(mine, trials.c.state.in_(open_states))
    return int(move.connection.execute(query).scalar_one())
