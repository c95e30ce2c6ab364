"""The arms of a study, its optimizers or schedule shapes, compared at equal numbers of trials.

Pure functions of the ledger's records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lrsearch.answer.cautions import NEAR_EDGE
from lrsearch.answer.comparison import (
    Contrast,
    ExpectedBest,
    budgets_of,
    contrast_all,
    expect,
    performance_profile,
    resample,
)
from lrsearch.answer.searched_rates import searched_range
from lrsearch.space import OPTIMIZERS
from lrsearch.values import (
    Direction,
    Json,
    Setting,
    StudyRecord,
    TrialRecord,
    Trials,
    TrialState,
)

TAUS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One optimizer, or one shape, and what its trials gave."""

    name: str
    trials: int
    diverged: int
    best: float | None
    best_trial: int | None
    best_rate: float | None
    at_edge: str  # why its best rate bars a verdict; empty where it does not
    expected: tuple[ExpectedBest, ...]
    tuned: tuple[str, ...]  # what was searched, with its range
    kept: tuple[str, ...]  # what stayed at a value

    def to_json(self) -> dict[str, Json]:
        names = ("trials", "diverged", "best", "best_trial", "best_rate")
        return {
            "arm": self.name,
            **{name: getattr(self, name) for name in names},
            "at_edge": self.at_edge or None,
            "expected_best": [each.to_json() for each in self.expected],
            "tuned": list(self.tuned),
            "kept": list(self.kept),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The arms of one study. `equal`: over equal numbers of quasi-random trials."""

    study: str
    source: str  # the study whose trials these are: its own, or its companion's
    objective: str
    direction: Direction
    by: str
    equal: bool
    each: int  # trials of each arm that count
    left_out: int  # trials beyond equal numbers, and pruned or failed ones
    arms: tuple[Arm, ...]  # best first, by the expected best at the most trials
    contrasts: tuple[Contrast, ...]
    untried: tuple[str, ...]  # arms without a trial that counts

    def to_json(self) -> dict[str, Json]:
        return {
            "study": self.study,
            "source": self.source,
            "objective": self.objective,
            "direction": self.direction.value,
            "by": self.by,
            "equal": self.equal,
            "trials_each": self.each,
            "left_out": self.left_out,
            "arms": [arm.to_json() for arm in self.arms],
            "contrasts": [one.to_json() for one in self.contrasts],
            "untried": list(self.untried),
        }


def compare_arms(
    study: StudyRecord, source: StudyRecord, records: Trials, *, by: str, equal: bool
) -> Comparison:
    """Compare the arms of `study` by the trials of `source`: itself, or its companion.

    Diverged trials count as the worst value that ended. Pruned and failed trials do not
    count, nor do yours, references (which are no random trials) and, of each arm, those
    beyond the least.
    """
    direction, names = study.direction, arm_names(study, by)
    counted = [each for each in records if _counts(each)]
    groups = {
        name: sorted(
            (each for each in counted if _arm_of(each, by) == name),
            key=lambda one: one.number,
        )
        for name in names
    }
    untried = tuple(
        name for name, group in groups.items() if not any(x.has_value for x in group)
    )
    groups = {name: group for name, group in groups.items() if name not in untried}
    each = min(map(len, groups.values()), default=0)
    groups = {name: group[:each] for name, group in groups.items()}
    costs = _costs(groups, direction)
    ks = budgets_of(each)
    edges = {
        name: _edge(source, records, group, direction) for name, group in groups.items()
    }
    arms = [
        _arm(study, name, group, costs[name], ks, direction, by=by, at_edge=edges[name])
        for name, group in groups.items()
    ]
    sign = -1.0 if direction is Direction.MAXIMIZE else 1.0
    arms.sort(key=lambda arm: sign * arm.expected[-1].value)
    contrasts = contrast_all(
        {arm.name: costs[arm.name] for arm in arms},
        ks[-1],
        barred=[name for name, why in edges.items() if why]
        if equal
        else [a.name for a in arms],
        paired=equal,
    )
    total = sum(1 for one in records if one.is_search and not one.is_yours)
    return Comparison(
        study=study.name,
        source=source.name,
        objective=study.facts.objective,
        direction=direction,
        by=by,
        equal=equal,
        each=each,
        left_out=total - each * len(arms),
        arms=tuple(arms),
        contrasts=tuple(_in_unit(one, sign) for one in contrasts),
        untried=untried,
    )


def arm_names(study: StudyRecord, by: str) -> tuple[str, ...]:
    """The optimizers or shapes of the study's space, in its order."""
    found = (each for each in study.plan.dimensions if each.get("name") == by)
    return tuple(next(found, {}).get("choices", ()))


def profiles_of(comparisons: Sequence[Comparison]) -> dict[str, tuple[float, ...]]:
    """The performance profile of each arm that all of the comparisons have, at TAUS.

    The gap of an arm is (its expected best - the best arm's) / (the worst arm's after
    one trial - the best arm's), at the most trials of each study.
    """
    shared = set.intersection(*({arm.name for arm in one.arms} for one in comparisons))
    names = [arm.name for arm in comparisons[0].arms if arm.name in shared]
    gaps: dict[str, list[float]] = {name: [] for name in names}
    for one in comparisons:
        sign = -1.0 if one.direction is Direction.MAXIMIZE else 1.0
        last = {arm.name: sign * arm.expected[-1].value for arm in one.arms}
        first = max(sign * arm.expected[0].value for arm in one.arms)
        best = min(last.values())
        for name in names:
            spread = first - best
            gaps[name].append((last[name] - best) / spread if spread > 0 else 0.0)
    return performance_profile(gaps, TAUS)


_COUNTS = frozenset({TrialState.COMPLETE, TrialState.DIVERGED})


def _counts(record: TrialRecord) -> bool:
    return (
        record.is_search
        and record.origin.value == "sampled"
        and record.state in _COUNTS
        and record.setting is not None
    )


def _arm_of(record: TrialRecord, by: str) -> str:
    assert record.setting is not None
    return record.setting.optimizer if by == "optimizer" else record.setting.schedule


def _costs(
    groups: dict[str, list[TrialRecord]], direction: Direction
) -> dict[str, np.ndarray]:
    """By arm, the costs of its trials; a trial without a value has the worst cost of all."""
    ended = (x for group in groups.values() for x in group if x.has_value)
    worst = max((direction.cost(each.final_value) for each in ended), default=0.0)
    return {
        name: np.array(
            [direction.cost(x.final_value) if x.has_value else worst for x in group]
        )
        for name, group in groups.items()
    }


def _arm(
    study: StudyRecord,
    name: str,
    group: Sequence[TrialRecord],
    costs: np.ndarray,
    ks: Sequence[int],
    direction: Direction,
    *,
    by: str,
    at_edge: str,
) -> Arm:
    best = _best(group, direction)
    places = resample(len(costs))
    tuned, kept = _knobs(study, group, by)
    return Arm(
        name=name,
        trials=len(group),
        diverged=sum(each.diverged for each in group),
        best=best.final_value if best else None,
        best_trial=best.number if best else None,
        best_rate=best.peak_rate if best else None,
        at_edge=at_edge,
        expected=tuple(
            _expected_in_unit(expect(costs, k, places), direction) for k in ks
        ),
        tuned=tuned,
        kept=kept,
    )


def _best(group: Sequence[TrialRecord], direction: Direction) -> TrialRecord | None:
    return min(
        (each for each in group if each.has_value),
        key=lambda each: direction.cost(each.final_value),
        default=None,
    )


def _expected_in_unit(found: ExpectedBest, direction: Direction) -> ExpectedBest:
    """Costs as values of the objective: under MAXIMIZE a cost is the value's negative."""
    if direction is not Direction.MAXIMIZE:
        return found
    return replace(found, value=-found.value, low=-found.high, high=-found.low)


def _in_unit(found: Contrast, sign: float) -> Contrast:
    ends = sorted(sign * each for each in found.interval)
    return replace(
        found, difference=sign * found.difference, interval=(ends[0], ends[1])
    )


def _edge(
    source: StudyRecord,
    records: Trials,
    group: Sequence[TrialRecord],
    direction: Direction,
) -> str:
    """Why the best rate of an arm bars a verdict: it lies at the end of what was searched."""
    best = _best(group, direction)
    if best is None or best.setting is None or best.setting.optimizer not in OPTIMIZERS:
        return ""
    search = [each for each in records if each.is_search]
    low, high = searched_range(source, search, best.setting)
    rate = best.setting.learning_rate
    if low < high and rate < low * NEAR_EDGE:
        return "its best rate lies at the low end of the range"
    if (
        low < high
        and rate > high / NEAR_EDGE
        and high < OPTIMIZERS[best.setting.optimizer].clamp
    ):
        return "its best rate lies at the high end of the range"
    return ""


def _knobs(
    study: StudyRecord, group: Sequence[TrialRecord], by: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What was searched in the arm, with ranges, and what stayed at one value."""
    settings = [each.setting for each in group if each.setting is not None]
    optimizers = {each.optimizer for each in settings}
    shapes = {each.schedule for each in settings}
    tuned = [f"learning_rate {_span([each.learning_rate for each in settings])}"]
    for each in study.plan.dimensions:
        name = str(each["name"])
        owner, _, _ = name.rpartition(".")
        if name in {by, "learning_rate"} or (owner and owner not in optimizers):
            continue
        if name in {"optimizer", "schedule"}:
            used = optimizers if name == "optimizer" else shapes
            tuned.append(f"{name} {', '.join(sorted(used))}")
        elif owner or any(name in _flat(one) for one in settings):
            tuned.append(f"{name} {_axis(each)}")
    names = {each.split(" ", 1)[0].rpartition(".")[2] for each in tuned}
    kept = {
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for one in settings
        for name, value in _flat(one).items()
        if name not in names and value is not None
    }
    return tuple(tuned), tuple(sorted(kept))


def _flat(setting: Setting) -> dict[str, Json]:
    flat = {**setting.shape, **setting.hyper, **setting.extra}
    return flat | (
        {} if setting.batch_size is None else {"batch_size": setting.batch_size}
    )


def _axis(dimension: Json) -> str:
    if dimension["kind"] == "categorical":
        return ", ".join(map(str, dimension["choices"]))
    return _span([dimension["low"], dimension["high"]])


def _span(numbers: Sequence[float]) -> str:
    low, high = min(numbers), max(numbers)
    if math.isclose(low, high):
        return f"{low:.3g}"
    return f"{low:.3g} to {high:.3g}"
