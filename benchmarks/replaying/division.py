"""Whole studies on tables: how few trainings are best divided among references, trials, retests.

A study trains yours (the setting nearest to Adam's default rate, held constant), some
references and sampled trials; the rest of its trainings are retests. Retests are the
table's own where it has them. Elsewhere they are drawn: the denoised value, and an
error of one of the table's retests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from replaying.search import Policy, Search
from replaying.table import Table
from replaying.truth import Truth

from lrsearch import SearchSpace
from lrsearch.values import Direction, Setting

REPEATS = 12  # retests of a setting that a study may ask for


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """A rule: so many references are tried, so many of the trainings are retests.

    who: "whole" gives the leader and yours three seeds each, then further settings
    three each; "pair" alternates the leader and yours; "able" retests all that could
    win once, yours second, then again; "rounds" does so with yours even where it could
    not win; "leaders" in the order of values. reach: a setting could win that is no
    further behind the leader than this share of the distance from the leader to the
    median of the search.
    """

    references: int
    retests: int
    who: str = "pair"
    reach: float = 1.0
    seeds: int = 1  # of "grid", which retests the first of "able" on so many seeds each

    @property
    def name(self) -> str:
        reach = "" if self.who in {"pair", "whole"} else f" {self.reach:g}"
        seeds = f" on {self.seeds}" if self.who == "grid" else ""
        return f"{self.references} references, {self.retests} retests {self.who}{reach}{seeds}"


def yours_of(table: Table) -> Setting:
    """What a user would have compiled: Adam at its default rate."""
    batch = sorted(
        (each.batch_size for each in table.settings), key=lambda size: size or 0
    )
    return Setting(
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        batch_size=batch[len(batch) // 2],
        shape={"warmup": 0.0},
    )


def searched_places(
    table: Table,
    space: SearchSpace,
    policy: Policy,
    *,
    references: Sequence[Setting],
    trials: int,
    seed: int,
) -> list[int]:
    """The table's places that a search of so many full runs trains; yours is the first."""
    search = Search(table=table, space=space, policy=policy, seed=seed)
    steps = search.run(budget=trials, first=(yours_of(table), *references))
    return [each.place for each in steps[:trials]]


def losses_of(table: Table) -> np.ndarray:
    """(n,) float64: the searched values as losses, inf where training diverged."""
    values = -table.values if table.direction is Direction.MAXIMIZE else table.values
    return np.where(np.isfinite(values), values, np.inf)


def retest_losses(table: Table, truth: Truth, *, seed: int) -> np.ndarray:
    """(n, REPEATS) float64: what the retests of each setting give, in their order."""
    random = np.random.default_rng(seed)
    real = -table.retests if table.direction is Direction.MAXIMIZE else table.retests
    errors = _errors(real)
    drawn = truth.losses[:, None] + random.choice(errors, (len(truth.losses), REPEATS))
    for place in np.flatnonzero(np.isfinite(real).any(axis=1)):
        own = random.permutation(real[place][np.isfinite(real[place])])[:REPEATS]
        drawn[place, : len(own)] = own
    return drawn


def _errors(retests: np.ndarray) -> np.ndarray:
    """The retests' differences from their setting's mean, of settings with several."""
    found = []
    for row in retests:
        values = row[np.isfinite(row)]
        if len(values) > 1:
            # Differences from a mean of k values are too small by sqrt((k - 1) / k).
            found += list(
                (values - values.mean()) * np.sqrt(len(values) / (len(values) - 1))
            )
    return np.array(found or [0.0])  # nothing is known of this table's noise


def retested(rule: Division, places: Sequence[int], losses: np.ndarray) -> list[int]:
    """The places that are retested, one for each retest, in their order; yours is `places[0]`."""
    ranked = sorted(
        {each for each in places if np.isfinite(losses[each])}, key=losses.__getitem__
    )
    if not ranked or not rule.retests:
        return []
    yours = [places[0]] if np.isfinite(losses[places[0]]) else []
    pair = list(dict.fromkeys((ranked[0], *yours)))
    if rule.who == "pair":
        return [pair[turn % len(pair)] for turn in range(rule.retests)]
    if rule.who == "whole":
        return _whole(rule.retests, pair, ranked)
    middle = float(np.median([losses[each] for each in ranked]))
    limit = losses[ranked[0]] + rule.reach * (middle - losses[ranked[0]])
    able = [each for each in ranked if losses[each] <= limit]
    mine = [each for each in pair if each in able]
    first = {"rounds": pair, "able": mine, "grid": mine}.get(rule.who, [])
    order = list(dict.fromkeys((*first, *able)))[: rule.retests]
    if rule.who == "grid":
        order = list(dict.fromkeys((*order, *ranked)))[: rule.retests // rule.seeds]
    return [order[turn % len(order)] for turn in range(rule.retests)]


def _whole(
    number: int, pair: Sequence[int], ranked: Sequence[int], seeds: int = 3
) -> list[int]:
    """What version 0.1.0 does: whole settings, the rest to the pair."""
    chosen = [each for _ in range(seeds) for each in pair][:number]
    for each in ranked[1:3]:
        if each not in pair and len(chosen) + seeds <= number:
            chosen += [each] * seeds
    return [*chosen, *[pair[turn % len(pair)] for turn in range(number - len(chosen))]]


def pick_of(
    rule: Division,
    places: Sequence[int],
    losses: np.ndarray,
    again: np.ndarray,
    *,
    both: bool,
) -> int | None:
    """The answer's best: the best mean of retests, with the searched value among them if `both`."""
    chosen = retested(rule, places, losses)
    if not chosen:
        good = [each for each in places if np.isfinite(losses[each])]
        return min(good, key=losses.__getitem__, default=None)
    means = {}
    for each in dict.fromkeys(chosen):
        values = again[each, : min(chosen.count(each), REPEATS)]
        means[each] = float(np.mean([*values, losses[each]] if both else values))
    return min(means, key=means.__getitem__)
