"""Replays whole studies of few trainings, and says how to divide the trainings best.

    python benchmarks/small_budgets.py [--trainings 5,8,10,12] [--sampler tpe] [--repeats 100]
        [--tables NAME,...] [--strangers FOLDER] [--both] [--best 12]

For each number of trainings: the mean regret of the answer's pick under every division
of `candidates`, over the tables, with the standard error of its difference from 0.1.0's
division on the same searches. Regret is that of benchmarks/replay.py.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from replay import families
from replaying.division import (
    Division,
    losses_of,
    pick_of,
    retest_losses,
    searched_places,
)
from replaying.search import Policy
from replaying.table import Table
from replaying.truth import denoised

from lrsearch import SearchSpace
from lrsearch.values import Setting

REFERENCES = (0, 1, 2, 3, 4, 6)
OLD_REFERENCES = 6  # 0.1.0 tried every optimizer of the space once
RETESTS = (2, 3, 4, 6, 9, 12)
ORDERS = {
    "table": ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"),
    "adaptive": ("adamw", "momentum", "rmsprop", "adam", "sgd", "adagrad"),
    "momentum": ("momentum", "adamw", "rmsprop", "adagrad", "sgd", "adam"),
    "random": (),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The searches on one table: what a process does."""

    table: Table
    space: SearchSpace
    sampler: str
    order: str
    repeats: int
    trainings: tuple[int, ...]
    references: tuple[int, ...]
    both: bool


def candidates(trainings: int, references: Sequence[int]) -> list[Division]:
    """Every division of so few trainings that is worth a look; 0.1.0's first."""
    half = trainings // 2
    old = min(12, half - half % (3 if half >= 6 else 2))
    found = [Division(references=OLD_REFERENCES, retests=old, who="whole")]
    for number in references:
        found.append(Division(references=number, retests=0))
        for retests in RETESTS:
            if retests > half:
                continue
            found.append(Division(references=number, retests=retests, who="pair"))
            found.append(Division(references=number, retests=retests, who="whole"))
            found += [
                Division(references=number, retests=retests, who=who, reach=reach)
                for reach in (0.25, 0.5, 1.0)
                for who in ("able", "rounds", "leaders")
            ]
        found += [
            Division(
                references=number,
                retests=seeds * settings,
                who="grid",
                reach=0.5,
                seeds=seeds,
            )
            for seeds in (2, 3)
            for settings in (2, 3, 4)
            if seeds * settings <= half
        ]
    return found


def ordered(references: Sequence[Setting], order: str, seed: int) -> list[Setting]:
    """The references in the order in which they are tried."""
    if order == "random":
        return [
            references[each]
            for each in np.random.default_rng(seed).permutation(len(references))
        ]
    names = ORDERS[order]
    place = {name: names.index(name) for name in names}
    return sorted(references, key=lambda each: place.get(each.optimizer, len(names)))


def regrets_of(job: Job) -> dict[int, np.ndarray]:
    """By number of trainings: (divisions, repeats) float64."""
    truth, losses = denoised(job.table), losses_of(job.table)
    most = max(job.trainings)
    found = {
        each: np.empty((len(candidates(each, job.references)), job.repeats))
        for each in job.trainings
    }
    for seed in range(job.repeats):
        again = retest_losses(job.table, truth, seed=seed)
        wanted = ordered(job.space.references(), job.order, seed)
        searches = {}
        for number in sorted({*job.references, OLD_REFERENCES}):
            searches[number] = searches.get(len(wanted)) or searched_places(
                job.table,
                job.space,
                Policy(sampler=job.sampler),
                references=wanted[:number],
                trials=most,
                seed=seed,
            )
        for trainings, regrets in found.items():
            for row, rule in enumerate(candidates(trainings, job.references)):
                places = searches[rule.references][: trainings - rule.retests]
                pick = pick_of(rule, places, losses, again, both=job.both)
                regrets[row, seed] = 1.0 if pick is None else truth.regret(pick)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole = partial(_numbers)
    parser.add_argument("--trainings", type=whole, default=(5, 8, 10, 12))
    parser.add_argument("--references", type=whole, default=REFERENCES)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--order", choices=sorted(ORDERS), default="table")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--tables", default="")
    parser.add_argument("--strangers", type=Path)
    parser.add_argument(
        "--both", action="store_true", help="the pick counts the searched value"
    )
    parser.add_argument("--best", type=int, default=12, help="rows to print")
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    names = [each for each in given.tables.split(",") if each]
    jobs, tables = [], []
    for family in families(names, given.strangers):
        for table in family.tables:
            tables.append(family.name)
            jobs.append(
                Job(
                    table=table,
                    space=family.space,
                    sampler=given.sampler,
                    order=given.order,
                    repeats=given.repeats,
                    trainings=given.trainings,
                    references=given.references,
                    both=given.both,
                )
            )
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(regrets_of, jobs))
    kept = {}
    for trainings in given.trainings:
        rules = candidates(trainings, given.references)
        by_family = {
            name: np.mean(
                [d[trainings] for d, n in zip(done, tables, strict=True) if n == name],
                axis=0,
            )
            for name in dict.fromkeys(tables)
        }
        kept[trainings] = by_family
        whole_mean = np.mean(list(by_family.values()), axis=0)  # (rules, repeats)
        means = whole_mean.mean(axis=1)
        apart = whole_mean - whole_mean[0]
        errors = apart.std(axis=1, ddof=1) / np.sqrt(given.repeats)
        print(f"### {trainings} trainings, {given.sampler}, order {given.order}")
        for row in [0, *np.argsort(means)[: given.best]]:
            cells = " ".join(f"{each[row].mean():.3f}" for each in by_family.values())
            print(f"{rules[row].name:45s} {means[row]:.3f} ±{errors[row]:.3f}  {cells}")
        # the best of each (references, retests)
        print(flush=True)
    if given.save:
        import pickle

        given.save.write_bytes(pickle.dumps(kept))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


if __name__ == "__main__":
    main()
