"""Which setting is best and where yours ranks, decided here for every view.

The retests decide. The best setting is the one with the best mean over its retests. A
setting that lost a seed ranks after those that lost none. Where no retest gave a value,
or none was made, the best single training is best, and a setting that diverged in every
retest ranks after all others. Pure functions of the ledger's records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lrsearch.answer.fold_order import level_costs
from lrsearch.answer.ranking import find_yours, rank_trials
from lrsearch.answer.spread import Bounds, Retested
from lrsearch.values import (
    Json,
    Origin,
    Setting,
    StudyFacts,
    TrialRecord,
    Trials,
    TrialState,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A trial as the answer speaks of it."""

    trial: int
    origin: Origin
    state: TrialState
    setting: Setting
    searched: float | None  # the search trial's own value
    retest: Retested | None  # None: no retest of it has ended

    @property
    def is_yours(self) -> bool:
        return self.origin is Origin.YOURS

    @property
    def value(self) -> float | None:
        """The mean of the retests; the search trial's value where none gave one."""
        return (
            self.searched
            if self.retest is None or self.retest.mean is None
            else self.retest.mean
        )

    @property
    def seeds(self) -> int:
        """Retests that the value is the mean of; 0: it is of the search trial's one training."""
        return self.retest.n if self.retest else 0

    def to_json(self) -> dict[str, Json]:
        return {
            "trial": self.trial,
            "origin": self.origin.value,
            "state": self.state.value,
            "value": self.value,
            "search_value": self.searched,
            "optimizer": self.setting.optimizer,
            "learning_rate": self.setting.learning_rate,
            "schedule": self.setting.schedule,
            "params": params_of(self.setting),
            "retest": self.retest.to_json() if self.retest else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """The settings of a study by rank.

    `best` is None until a trial has ended well, `yours` until trial 0 has ended.
    """

    best: Contender | None
    yours: Contender | None
    # best first, yours among them; those that lost a seed last
    retested: tuple[Contender, ...]
    # the search trials that ran to their end, best single value first
    ranked: tuple[TrialRecord, ...]
    open_retests: int  # planned, and not ended
    folds: int | None = None  # that retests go round; None: the study has none
    fold_ratio: float = 0.0  # validation rows by training rows of a fold, on average
    bounds: Bounds = (None, None)  # of the objective


def build_leaderboard(facts: StudyFacts, records: Trials) -> Leaderboard:
    """Rank the settings of a study by its records: search trials and retests."""
    facts = replace(facts, bounds=kept_bounds(facts, records))
    ranked = rank_trials(records, facts.direction)
    retests = _retests(records, facts)
    retested = _by_mean(
        [
            make_contender(each, retests[each.number])
            for each in ranked
            if each.number in retests
        ],
        facts,
    )
    return Leaderboard(
        best=_best(ranked, retests, retested),
        yours=_yours(records, retests),
        retested=retested,
        ranked=ranked,
        open_retests=sum(each.is_retest and not each.ended for each in records),
        folds=facts.folds,
        fold_ratio=0.0
        if facts.folds is None
        else facts.fold_ratio or 1 / (facts.folds - 1),
        bounds=facts.bounds,
    )


def kept_bounds(facts: StudyFacts, records: Trials) -> Bounds:
    """The objective's bounds; an end that a value lies beyond is none, as with strange targets."""
    low, high = facts.bounds
    values = [each.final_value for each in records if each.has_value]
    least, most = min(values, default=0.0), max(values, default=0.0)
    return (
        None if low is None or least < low else low,
        None if high is None or most > high else high,
    )


def make_contender(record: TrialRecord, retest: Retested | None) -> Contender:
    """Make a contender of a search trial that has a setting, and of its retests."""
    assert record.setting is not None  # a trial that ran has one
    return Contender(
        trial=record.number,
        origin=record.origin,
        state=record.state,
        setting=record.setting,
        searched=record.value,
        retest=retest,
    )


def params_of(setting: Setting) -> dict[str, Json]:
    """What a setting holds beyond optimizer, rate and schedule, in one flat dict."""
    return {
        "batch_size": setting.batch_size,
        **setting.shape,
        **setting.hyper,
        **setting.extra,
    }


def _best(
    ranked: Trials, retests: Mapping[int, Retested], retested: Sequence[Contender]
) -> Contender | None:
    if retested and retested[0].seeds:
        return retested[0]
    contenders = (make_contender(each, retests.get(each.number)) for each in ranked)
    # A failure may be the file's fault, and would then meet every setting alike;
    # divergence is the setting's own.
    return min(
        contenders,
        key=lambda each: bool(each.retest and each.retest.diverged),
        default=None,
    )  # of equals the first


def _retests(records: Trials, facts: StudyFacts) -> dict[int, Retested]:
    """By search trial: its ended retests as one `Retested`, in the order of their seeds."""
    by_parent: dict[int, list[TrialRecord]] = {}
    for each in sorted(records, key=lambda record: record.repeat or 0):
        if each.is_retest and each.parent is not None and each.ended:
            by_parent.setdefault(each.parent, []).append(each)
    return {parent: _retested(group, facts) for parent, group in by_parent.items()}


def _retested(group: Trials, facts: StudyFacts) -> Retested:
    test = "test_" + facts.objective.removeprefix("val_")
    folds = (facts.fold_of(each.repeat) for each in group if each.has_value)
    good = [each for each in group if each.has_value]
    return Retested(
        values=tuple(each.final_value for each in good),
        seeds=tuple(each.seed or 0 for each in good),
        lost=len(group) - len(good),
        diverged=sum(each.diverged for each in group),
        test=tuple(each.logs[test] for each in good if test in each.logs),
        folds=tuple(each for each in folds if each is not None),
        copies=_all_alike(good, facts.objective),
        bounds=facts.bounds,
    )


def _all_alike(retests: Trials, objective: str) -> bool:
    """Whether several trainings are one, repeated.

    Whatever they logged is the same, and they logged more than the objective.
    """
    if len(retests) < 2:  # noqa: PLR2004
        return False
    first = retests[0]
    told = bool(set(first.logs) - {objective})
    return told and all(
        each.logs == first.logs and each.value == first.value for each in retests
    )


def _yours(records: Trials, retests: Mapping[int, Retested]) -> Contender | None:
    record = find_yours(records)
    if record is None or record.setting is None or not record.ended:
        return None
    return make_contender(record, retests.get(record.number))


def _by_mean(
    contenders: Sequence[Contender], facts: StudyFacts
) -> tuple[Contender, ...]:
    """Best mean first, however good the other values of those that lost a seed.

    After all that lost no seed come those that lost some, then those that lost every
    one, by their single training. With folds, a fold that is still to come is filled in
    from the others.
    """
    cost = facts.direction.cost
    levels = level_costs(
        {
            each.trial: {
                seed: cost(value)
                for seed, value in zip(
                    each.retest.seeds, each.retest.values, strict=True
                )
            }
            for each in contenders
            if facts.folds and each.retest is not None and each.seeds
        }
    )

    def key(each: Contender) -> tuple[bool, bool, float, int]:
        assert each.retest is not None
        assert each.value is not None
        level = levels.get(each.trial, cost(each.value))
        return not each.seeds, each.retest.lost > 0, level, each.trial

    return tuple(sorted(contenders, key=key))
