"""How long a study still takes: the trainings to come, at the pace of all its workers.

A pure function of the ledger's records, and an estimate for people: a training in
progress counts as not begun.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from lrsearch.answer.ranking import retest_candidates
from lrsearch.budget import expected_retests, retests_in_all
from lrsearch.values import Kind, StudyRecord, Trials, TrialState, WorkerRecord

SAMPLE = 31  # trainings whose mean length stands for the next one's, the newest


def seconds_left(
    study: StudyRecord,
    records: Trials,
    workers: Sequence[WorkerRecord],
    *,
    now: float,
) -> float | None:
    """Seconds to the study's end or deadline, whichever is nearer; None where nothing is known."""
    by_deadline = None if study.deadline is None else max(0.0, study.deadline - now)
    known = [
        each
        for each in (by_deadline, _by_pace(study, records, workers, now))
        if each is not None
    ]
    return min(known, default=None)


def trainings_left(study: StudyRecord, records: Trials) -> int | None:
    """Trainings to come, retests included; None where time alone limits them."""
    if study.trials is None:
        return None
    search = [each for each in records if each.kind is Kind.SEARCH]
    retests = [each for each in records if each.kind is Kind.RETEST]
    to_search = study.trials - sum(each.state.terminal for each in search)
    return (
        max(0, to_search)
        + sum(not each.state.terminal for each in retests)
        + _unplanned(study, search, retests, to_search)
    )


def _unplanned(
    study: StudyRecord,
    search: Trials,
    retests: Trials,
    to_search: int,
) -> int:
    """Retests that will be planned once the search is over."""
    if to_search > 0:
        # yours among them
        settings, seeds = study.plan.retest_top + 1, study.plan.retest_seeds
        trials = study.trials or settings
        if study.trainings is None:
            return expected_retests(trials, seeds, settings=settings)
        return retests_in_all(
            trials, seeds, study.trainings, len(retests), settings=settings
        ) - len(retests)
    if study.plan.retests_only:
        return 0
    if study.retests_for >= sum(each.state.terminal for each in search):
        return 0
    there = {each.parent for each in retests}
    chosen = retest_candidates(search, study.direction, top=study.plan.retest_top)
    missing = study.plan.retest_seeds * sum(each not in there for each in chosen)
    return (
        missing
        if study.trainings is None
        else max(0, min(missing, study.trainings - len(search) - len(retests)))
    )


def _by_pace(
    study: StudyRecord, records: Trials, workers: Sequence[WorkerRecord], now: float
) -> float | None:
    left = trainings_left(study, records)
    ended = [
        each for each in records if each.state.terminal and each.finished_at is not None
    ]
    if left is None or not ended:
        return None
    newest = sorted(ended, key=lambda each: each.finished_at or 0.0)[-SAMPLE:]
    running = sum(each.state is TrialState.RUNNING for each in records)
    alive = sum(each.is_there(now) for each in workers)
    at_once = max(1, min(left, max(running, alive)))
    return left * statistics.fmean(each.seconds for each in newest) / at_once
