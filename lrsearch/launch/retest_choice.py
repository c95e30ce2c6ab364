"""Chooses which settings are retested, and on how many seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.answer import best_settings, build_leaderboard
from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.options import RETEST_SEEDS, RetestOptions
from lrsearch.values import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from lrsearch.storage import Retest


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestChoice:
    """The settings that retest options choose."""

    seeds: int
    top: int | None  # None: only `named`
    best: tuple[int, ...]  # trials, best first
    named: tuple[int, ...]
    yours: int | None  # None where yours has no value, or none yet
    without_yours: bool  # yours ended without a value
    lacking: int  # retests of these settings that are not queued yet
    waiting: int  # queued retests of any setting that have not ended
    failed: int  # retests of these settings that ended without a value
    ended: int  # search trials that had ended when the settings were chosen

    @property
    def trials(self) -> tuple[int, ...]:
        """All of the settings, yours last."""
        others = [each for each in (*self.best, *self.named) if each != self.yours]
        mine = () if self.yours is None else (self.yours,)
        return tuple(dict.fromkeys((*others, *mine)))


def choose_settings(
    study: StudyRecord, records: Sequence[TrialRecord], wanted: RetestOptions
) -> RetestChoice:
    """Choose the wanted settings and seeds by the study's records.

    Raises UnknownName, InvalidValue, Refused.
    """
    plan = study.plan
    leaderboard = build_leaderboard(plan.facts, records)
    retests = [each for each in records if each.is_retest]
    if wanted.seeds is not None and plan.facts.folds:
        check_folds(wanted.seeds, plan.facts.folds, "seeds")
    usual = plan.retest_seeds or plan.facts.folds or RETEST_SEEDS
    seeds = wanted.seeds or max([usual, *(1 + (each.repeat or 0) for each in retests)])
    top = wanted.top if wanted.top is not None or wanted.trials else plan.retest_top
    best = (
        () if top is None else best_settings(leaderboard, plan.facts.direction, top=top)
    )
    good = {each.number for each in leaderboard.ranked}
    mine = leaderboard.yours
    yours = mine.trial if mine is not None and mine.trial in good else None
    for number in wanted.trials:
        _check_trial(study, records, number, good)
    chosen = {*best, *wanted.trials, *(() if yours is None else (yours,))}
    there = [
        each for each in retests if each.parent in chosen and (each.repeat or 0) < seeds
    ]
    return RetestChoice(
        seeds=seeds,
        top=top,
        best=best,
        named=wanted.trials,
        yours=yours,
        without_yours=mine is not None and yours is None,
        lacking=len(chosen) * seeds - len(there),
        waiting=sum(not each.ended for each in retests),
        failed=sum(each.ended and each.value is None for each in there),
        ended=sum(each.is_search and each.ended for each in records),
    )


def check_folds(seeds: int, folds: int, field: str) -> None:
    """Raise InvalidValue for retests that are not as many on every fold."""
    if seeds % folds:
        allowed = f"a multiple of the study's {folds} folds"
        fix = "Every setting is retested on all of them, so that their means compare."
        raise InvalidValue(field, got=seeds, allowed=allowed, fix=fix)


def _check_trial(
    study: StudyRecord, records: Sequence[TrialRecord], number: int, good: set[int]
) -> None:
    search = {each.number: each for each in records if each.is_search}
    if number not in search:
        known = f"0 to {max(search)}" if search else "none yet"
        raise UnknownName(
            "trial", got=str(number), known=(), fix=f"{study.name} has {known}."
        )
    if number not in good:
        state = search[number].state.value
        fix = f"It is {state}{', without a value' * (state == 'complete')}."
        allowed = "one that ran to its end with a value"
        raise InvalidValue("trial", got=number, allowed=allowed, fix=fix)


def list_retests(
    study: StudyRecord, trials: Sequence[int], seeds: int
) -> tuple[Retest, ...]:
    """List all repeats of some trials, on the seeds that the study's plan gives."""
    from lrsearch.worker.retest_planning import make_retests

    numbers = dict.fromkeys(trials)
    return make_retests(
        study, ((each, repeat) for repeat in range(seeds) for each in numbers)
    )
