"""Makes the answer of a study from its records: yours, the best, what is not separable from it, and what to beware of.

The best is the best mean among the retested, or the best single training where nothing was retested. Knows nothing of
how an answer is shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.answer.cautions import Seen, cautions
from lrsearch.answer.optimizers import OptimizerRow, by_optimizer
from lrsearch.answer.ranking import ranking, yours_of
from lrsearch.answer.spread import Retested, separable
from lrsearch.values import Direction, Json, Kind, Origin, Setting, StudyRecord, TrialRecord, TrialState

AS_GOOD = 0.01  # within 1 % of the best value, or within the noise, counts as equally good


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A trial as the answer speaks of it."""

    trial: int
    origin: Origin
    state: TrialState
    setting: Setting
    searched: float | None  # the search trial's own value
    retest: Retested | None

    @property
    def value(self) -> float | None:
        """The mean of the retests, else the search trial's value."""
        return self.retest.mean if self.retest else self.searched

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
class Answer:
    """What a study has found so far. `best` is None until a trial ended well, `yours` until trial 0 ended."""

    study: str
    objective: str
    direction: Direction
    best: Contender | None
    yours: Contender | None
    retested: tuple[Contender, ...]  # best first, yours among them; those that lost a seed last
    not_separable: tuple[int, ...]  # retested trials that chance may part from the best
    ranked: tuple[TrialRecord, ...]  # the search trials that ran to their end, best single value first
    by_optimizer: tuple[OptimizerRow, ...]
    counts: Mapping[str, int]  # search trials by state
    tolerance: float  # values this close count as equally good
    warnings: tuple[str, ...]

    @property
    def runners_up(self) -> tuple[Contender, ...]:
        """The other retested settings; where nothing was retested, the next three of the search."""
        mine = self.best.trial if self.best else -1
        others = self.retested or tuple(_contender(each, None) for each in self.ranked[:4])
        return tuple(each for each in others if each.trial != mine and each.origin is not Origin.YOURS)

    def to_json(self) -> dict[str, Json]:
        """The best at the top level, as `lrsearch best --json` gives it; every key is there, None where unknown."""
        best = self.best.to_json() if self.best else dict.fromkeys(_BEST_KEYS)
        return {
            "study": self.study,
            "objective": self.objective,
            "direction": self.direction.value,
            **best,
            "not_separable": list(self.not_separable),
            "yours": self.yours.to_json() if self.yours else None,
            "runners_up": [each.to_json() for each in self.runners_up],
            "by_optimizer": [row.to_json() for row in self.by_optimizer],
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
        }


_BEST_KEYS = (
    "trial", "origin", "state", "value", "search_value", "optimizer", "learning_rate", "schedule", "params", "retest",
)  # fmt: skip


def params_of(setting: Setting) -> dict[str, Json]:
    """What a setting holds beyond optimizer, rate and schedule, in one flat dict: batch size, shape, hyper, extra."""
    return {"batch_size": setting.batch_size, **setting.shape, **setting.hyper, **setting.extra}


def summarise(study: StudyRecord, records: Sequence[TrialRecord]) -> Answer:
    """The answer, from all the study's records, search trials and retests."""
    direction = study.plan.facts.direction
    ranked = ranking(records, direction)
    retests = _retests(records, study.plan.facts.objective)
    retested = _by_mean([_contender(each, retests[each.number]) for each in ranked if each.number in retests], direction)
    best = retested[0] if retested else next((_contender(each, None) for each in ranked), None)
    not_separable = _not_separable(best, retested)
    tolerance = _tolerance(best, retested)
    rows = by_optimizer(records, direction, tolerance=tolerance)
    yours = _yours(records, retests)
    seen = Seen(
        plan=study.plan,
        records=records,
        rows=rows,
        best=best,
        yours=yours,
        retested=retested,
        not_separable=frozenset(not_separable),
        tolerance=tolerance,
    )
    return Answer(
        study=study.name,
        objective=study.plan.facts.objective,
        direction=direction,
        best=best,
        yours=yours,
        retested=retested,
        not_separable=not_separable,
        ranked=ranked,
        by_optimizer=rows,
        counts=_counts(records),
        tolerance=tolerance,
        warnings=cautions(seen),
    )


def _retests(records: Sequence[TrialRecord], objective: str) -> dict[int, Retested]:
    """By search trial: its retests as one `Retested`, in the order of their seeds; trials without a complete retest have none."""
    by_parent: dict[int, list[TrialRecord]] = {}
    for each in sorted(records, key=lambda record: record.repeat or 0):
        if each.kind is Kind.RETEST and each.parent is not None and each.state.terminal:
            by_parent.setdefault(each.parent, []).append(each)
    found = {}
    test = "test_" + objective.removeprefix("val_")
    for parent, group in by_parent.items():
        good = [each for each in group if each.state is TrialState.COMPLETE and each.value is not None]
        if good:
            found[parent] = Retested(
                values=tuple(each.value for each in good if each.value is not None),
                seeds=tuple(each.seed or 0 for each in good),
                lost=len(group) - len(good),
                test=tuple(each.logs[test] for each in good if test in each.logs),
                copies=_all_alike(good, objective),
            )
    return found


def _all_alike(retests: Sequence[TrialRecord], objective: str) -> bool:
    """Whether several trainings are one, repeated: whatever they logged is the same, and that is more than the objective."""
    first = retests[0]
    told = bool(set(first.logs) - {objective})
    return len(retests) > 1 and told and all(each.logs == first.logs and each.value == first.value for each in retests)


def _contender(record: TrialRecord, retest: Retested | None) -> Contender:
    assert record.setting is not None  # a trial that ran has one
    return Contender(
        trial=record.number,
        origin=record.origin,
        state=record.state,
        setting=record.setting,
        searched=record.value,
        retest=retest,
    )


def _yours(records: Sequence[TrialRecord], retests: Mapping[int, Retested]) -> Contender | None:
    record = yours_of(records)
    if record is None or record.setting is None or not record.state.terminal:
        return None
    return _contender(record, retests.get(record.number))


def _by_mean(contenders: Sequence[Contender], direction: Direction) -> tuple[Contender, ...]:
    """Best mean first; a setting that lost a seed comes after all that lost none, however good its other values."""
    sign = 1.0 if direction is Direction.MINIMIZE else -1.0

    def key(each: Contender) -> tuple[bool, float, int]:
        assert each.retest is not None
        return each.retest.lost > 0, sign * each.retest.mean, each.trial

    return tuple(sorted(contenders, key=key))


def _not_separable(best: Contender | None, retested: Sequence[Contender]) -> tuple[int, ...]:
    if best is None or best.retest is None:
        return ()
    others = [each for each in retested if each.trial != best.trial and each.retest]
    return tuple(each.trial for each in others if each.retest and not separable(best.retest.independent, each.retest.independent))


def _tolerance(best: Contender | None, retested: Sequence[Contender]) -> float:
    """1 % of the best value, or twice the retests' pooled spread where that is more."""
    if best is None or best.value is None:
        return 0.0
    spreads = [each.retest.spread for each in retested if each.retest and each.retest.spread is not None]
    noise = math.sqrt(statistics.fmean(spread**2 for spread in spreads)) if spreads else 0.0
    return max(AS_GOOD * abs(best.value), 2 * noise)


def _counts(records: Sequence[TrialRecord]) -> dict[str, int]:
    states = [each.state for each in records if each.kind is Kind.SEARCH]
    return {state.value: states.count(state) for state in TrialState}
