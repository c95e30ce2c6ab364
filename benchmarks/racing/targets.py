"""Training until a contender's answer is near the best known. Pure functions of a file's records.

A record is a finished search (`kind` "search") or a pick's retraining (`kind` "judged",
losses by seed, for each split). A contender's course on a seed is a list of answers, each with what
was paid by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from racing.tasks import TASKS

Record = Mapping[str, Any]
Pick = Mapping[str, Any] | None

# Validation losses of 17 quasi-random settings of lrsearch's default ranges.
MEDIANS: Mapping[str, float] = {"mlp": 0.494, "characters": 3.279, "cnn": 0.263}
# A value of a whole run that is further than this from the best one, as a share of median
# less best, is of no pick within a tenth: it would have to be unlucky by a fifth, and values
# that win a search are lucky ones. Such picks are not retrained.
FAR = 0.3
# A pick no further from the best than this is retrained on all of the judge's seeds.
NEAR = 0.15


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a contender would have recommended, and what was paid by then."""

    pick: Pick
    value: float | None  # the validation value that it was chosen by
    whole: bool  # whether that is of whole runs
    runs: float  # full trainings
    training_seconds: float  # since the first training began
    seconds: float  # since the process began
    cpu: float  # of the whole process


@dataclass(frozen=True, kw_only=True, slots=True)
class Standings:
    """Judged picks beside the best known, all by name. Regrets: 0 is the best, 1 the median."""

    best: float  # the best known loss
    regrets: Mapping[str, float]
    noise: float  # standard deviation of a near pick's regret


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """Where a course is near the best: `first` so, and `kept` to the end; None: never."""

    first: Answer | None
    kept: Answer | None


def name_of(pick: Pick) -> str:
    """The same for the same setting; values that change nothing are left out."""
    if pick is None:
        return "null"
    told = {name: value for name, value in pick.items() if value not in (0, None)}
    if told["schedule"] != "warmup_stable_decay":
        told.pop("decay_start", None)
    return json.dumps(told, sort_keys=True)


def courses(
    records: Iterable[Record], task: str
) -> dict[tuple[str, int], list[Answer]]:
    """By contender and seed, in the order of what was paid."""
    found: dict[tuple[str, int], list[Answer]] = {}
    for each in records:
        if each["kind"] == "search" and each["task"] == task:
            key = each["contender"], each["seed"]
            found.setdefault(key, []).extend(_answers(each))
    return {
        key: sorted(answers, key=lambda each: each.runs)
        for key, answers in found.items()
    }


def _answers(record: Record) -> list[Answer]:
    """A peer's incumbents, or the one answer of a whole study of lrsearch."""
    epochs = TASKS[record["task"]].epochs
    if "incumbents" not in record:
        return [
            Answer(
                pick=record["pick"],
                value=record["value"],
                whole=True,
                runs=record["epochs"] / epochs,
                training_seconds=record["training_seconds"],
                seconds=record["seconds"],
                cpu=record["cpu"],
            )
        ]
    return [
        Answer(
            pick=each["pick"],
            value=each["value"],
            whole=each["trained"] >= epochs,
            runs=each["epochs"] / epochs,
            training_seconds=each["seconds"],
            seconds=record["start_up"] + each["seconds"],
            cpu=each["cpu"],
        )
        for each in record["incumbents"]
    ]


def to_judge(answers: Collection[Answer], task: str) -> list[Pick]:
    """Distinct picks that are not far by their own value."""
    picks = {name_of(each.pick): each.pick for each in answers}
    whole: dict[str, float] = {}
    for each in answers:
        if each.whole and each.value is not None:
            name = name_of(each.pick)
            whole[name] = min(each.value, whole.get(name, np.inf))
    least = min(whole.values(), default=np.inf)
    limit = least + FAR * (MEDIANS[task] - least) if whole else np.inf
    return [pick for name, pick in picks.items() if whole.get(name, limit) <= limit]


def judged(
    records: Iterable[Record], task: str, split: str
) -> dict[str, dict[str, float]]:
    """By pick, by seed: the losses on this split."""
    found: dict[str, dict[str, float]] = {}
    for each in records:
        if each["kind"] == "judged" and each["task"] == task:
            if split not in each:
                raise ValueError(
                    f"a record has no {split} losses: an earlier version judged it. "
                    "Remove the file's lines of kind judged, and call again."
                )
            found.setdefault(name_of(each["pick"]), {}).update(each[split])
    return found


def standings(losses: Mapping[str, Mapping[str, float]], median: float) -> Standings:
    """`losses`: by pick, by seed; all picks share some seeds, and near ones may have more.

    Near ones are compared on the seeds that all of them have. What they have in common
    on a seed is taken out, so that a far pick's few seeds compare with these. Raises
    ValueError where no seed is shared.
    """
    table, seeds = _on_shared_seeds(losses)
    best = best_known(table)
    first = (table.mean(1) - best) / (median - best)
    near = [name for name, far in zip(losses, first, strict=True) if far < NEAR]
    if near:
        table, seeds = _on_shared_seeds({name: losses[name] for name in near})
        best = best_known(table)
    shared = dict(zip(seeds, table.mean(0) - table.mean(), strict=True))
    means = {
        name: np.mean([each[seed] - shared[seed] for seed in seeds if seed in each])
        for name, each in losses.items()
    }
    scale = median - best
    regrets = {name: float(mean - best) / scale for name, mean in means.items()}
    return Standings(best=best, regrets=regrets, noise=noise(table) / scale)


def _on_shared_seeds(
    losses: Mapping[str, Mapping[str, float]],
) -> tuple[np.ndarray, list[str]]:
    """Losses (picks, seeds) on the seeds that all picks have, and these seeds."""
    seeds = sorted(set.intersection(*(set(each) for each in losses.values())))
    if not seeds:
        raise ValueError("the judged picks share no seed")
    return np.array([[each[seed] for seed in seeds] for each in losses.values()]), seeds


def best_known(table: np.ndarray) -> float:
    """Of losses (picks, seeds): the best pick's, without the luck of having been the best.

    The best on one half of the seeds counts with its loss on the other half. The least
    mean of 40 picks is too low by about two standard deviations of a mean.
    """
    halves = table[:, ::2], table[:, 1::2]
    if table.shape[1] < 2:
        return float(table.min())
    pairs = (halves, halves[::-1])
    return float(np.mean([other[one.mean(1).argmin()].mean() for one, other in pairs]))


def reached(answers: Sequence[Answer], near: Callable[[Answer], bool]) -> Reached:
    """`kept` is the first answer after which none is far."""
    good = [near(each) for each in answers]
    last_far = max(
        (place for place, is_near in enumerate(good) if not is_near), default=-1
    )
    return Reached(
        first=next(
            (each for each, is_near in zip(answers, good, strict=True) if is_near), None
        ),
        kept=answers[last_far + 1] if last_far + 1 < len(answers) else None,
    )


def answer_at(answers: Sequence[Answer], runs: float) -> Answer | None:
    """The newest answer by then; None before the first."""
    known = [each for each in answers if each.runs <= runs]
    return known[-1] if known else None


def censored_median(values: Sequence[float | None]) -> float | None:
    """None where half of the values or more are censored; the upper of two middle ones."""
    ordered = sorted(np.inf if each is None else each for each in values)
    middle = ordered[len(ordered) // 2]
    return None if np.isinf(middle) else float(middle)


def noise(losses: np.ndarray | Sequence[Sequence[float]]) -> float:
    """Of (picks, seeds): the standard deviation of a pick's mean over its seeds.

    What all picks have in common on a seed is no noise, since all are judged on the same.
    """
    table = np.asarray(losses, dtype=float)
    picks, seeds = table.shape
    if picks < 2 or seeds < 2:
        return float("nan")
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    variance = (rest**2).sum() / ((picks - 1) * (seeds - 1))
    return float(np.sqrt(variance / seeds))
