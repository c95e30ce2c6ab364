"""Plans the retests of a search that is over; the first worker plans for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lrsearch.answer import (
    build_leaderboard,
    could_win,
    few_retests,
    find_yours,
    fitting_retests,
    next_retests,
    retest_candidates,
    retests_within,
)
from lrsearch.errors import UnknownName
from lrsearch.messages import RetestsPlanned
from lrsearch.sampling import rank_by_expectation
from lrsearch.storage import PlanRetests, Retest
from lrsearch.values import Kind, StudyRecord, Trials, comparable_records
from lrsearch.worker.seeds import seed_of

PAIR = 2  # the leader and its challenger

if TYPE_CHECKING:
    from lrsearch.space import SearchSpace
    from lrsearch.storage import Ledger


def plan_retests(
    ledger: Ledger, name: str, asked: PlanRetests, space: SearchSpace
) -> RetestsPlanned | None:
    """Plan retests of a few settings and yours, on the same seeds, so that they can be compared.

    None where another worker was quicker, or the study is gone.
    """
    try:
        # read now: seeds and settings may have been raised meanwhile
        study = ledger.study(name)
    except UnknownName:  # deleted: the next claim says so
        return None
    if asked.race:
        return _plan_round(ledger, study, asked, space)
    plan = study.plan
    records = ledger.trials(study.id)
    room = asked.room
    exactly = asked.exactly
    yours, every = find_yours(records), plan.retest_seeds
    direction = plan.facts.direction
    best = retest_candidates(
        records,
        direction,
        top=plan.retest_top,
        expected=_expected(study, records, space),
    )
    if plan.facts.folds and exactly is not None:  # means of other folds do not compare
        room, exactly = exactly if room is None else min(room, exactly), None
    chosen, seeds = fitting_retests(best, yours, seeds=every, room=room)
    pairs = [(number, repeat) for repeat in range(seeds) for number in chosen]
    if exactly is not None and (room is None or exactly <= room):
        done = {
            (each.parent, each.repeat) for each in records if each.kind is Kind.RETEST
        }
        if exactly < 2 * every and not done:
            able = could_win(records, direction)
            pairs = few_retests(exactly, best, yours, able=able)
        else:
            pairs = retests_within(exactly, best, yours, seeds=every, done=done)
    retests = make_retests(study, pairs)
    if not ledger.plan_retests(study.id, retests, rule=(every, plan.retest_top)):
        return None
    by_trial = Counter(number for number, _ in pairs)
    return RetestsPlanned(
        trials=tuple(by_trial),
        seeds=min(by_trial.values(), default=0),
        retests=len(pairs),
        left_out=max(
            0, (len(best) * every if exactly is None else exactly) - len(pairs)
        ),
    )


def _plan_round(
    ledger: Ledger, study: StudyRecord, asked: PlanRetests, space: SearchSpace
) -> RetestsPlanned | None:
    """Plan the race's next retests, or end the race where nothing is open any more."""
    plan, records, total = study.plan, ledger.trials(study.id), study.plan.retest_total
    if total is None:
        return None
    left = min(each for each in (asked.exactly, asked.room) if each is not None)
    direction = plan.facts.direction
    pairs = next_retests(
        build_leaderboard(plan.facts, records),
        records,
        direction,
        left=left,
        expected=_expected(study, records, space),
    )
    if not ledger.plan_round(study.id, make_retests(study, pairs), total=total):
        return None
    trials = tuple(dict.fromkeys(number for number, _ in pairs))
    if len(trials) <= PAIR:  # a line for each pair would fill the screen
        return None
    return RetestsPlanned(trials=trials, seeds=1, retests=len(pairs), left_out=0)


def _expected(
    study: StudyRecord, records: Trials, space: SearchSpace
) -> tuple[int, ...]:
    """The search trials by how good a model expects them to be."""
    known = comparable_records(records, study.facts.folds)
    return rank_by_expectation(space, known, study.direction)


def make_retests(
    study: StudyRecord, pairs: Iterable[tuple[int, int]]
) -> tuple[Retest, ...]:
    """Make retests of (trial, repeat): a repeat has the same seed for every trial."""
    seed = study.plan.seed
    return tuple(
        Retest(parent=number, repeat=repeat, seed=seed_of(seed, Kind.RETEST, repeat))
        for number, repeat in pairs
    )
