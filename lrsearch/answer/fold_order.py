"""The costs of settings as if each had been trained on every fold. Knows numbers only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

_ROUNDS = 200  # of the fit; it ends long before unless hardly any fold is shared


def level_costs(costs: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """By trial: its mean cost over all repeats, those that it lacks filled in.

    costs: by trial and repeat, of one at least each. What a repeat costs all settings
    alike, as a hard fold does, is fitted to the settings that have it (the additive
    model of two factors, by least squares), so that a setting gains nothing by lacking
    a hard fold. Plain means where all have the same repeats, or share none.
    """
    repeats = {repeat for own in costs.values() for repeat in own}
    effects = dict.fromkeys(repeats, 0.0)
    levels = {trial: _mean(own.values()) for trial, own in costs.items()}
    if all(own.keys() == repeats for own in costs.values()):
        return levels
    for _ in range(_ROUNDS):
        before = levels
        for repeat in repeats:
            having = [trial for trial, own in costs.items() if repeat in own]
            effects[repeat] = _mean(
                costs[trial][repeat] - levels[trial] for trial in having
            )
        centre = _mean(effects.values())
        levels = {
            trial: _mean(
                cost - effects[repeat] + centre for repeat, cost in own.items()
            )
            for trial, own in costs.items()
        }
        if all(
            math.isclose(levels[each], before[each], rel_tol=1e-9) for each in levels
        ):
            break
    return levels


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)
