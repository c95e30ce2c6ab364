"""Proposes a trial's setting: a function of the study's seed, the trial's number and the history.

A worker that restarts, or records that arrive in another order, give the same setting.
Knows nothing of SQL or Keras.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import optuna

from lrsearch.choices import check_choice
from lrsearch.errors import EnvironmentProblem
from lrsearch.sampling.model_sampler import ModelSampler
from lrsearch.sampling.optuna_sampler import OptunaSampler, make_gp
from lrsearch.sampling.sobol import BalancedSampler, QuasiRandomSampler
from lrsearch.values import Direction, Setting, TrialRecord

if TYPE_CHECKING:
    from lrsearch.space import SearchSpace


class Sampler(Protocol):
    """What proposes settings.

    note: a line for people about the last proposal; empty where there is nothing to
    say.
    """

    note: str

    def observe(self, records: Iterable[TrialRecord]) -> None:
        """Take in records of any kind, in any order; the newest of an id counts."""

    def propose(self, number: int) -> Setting:
        """The setting for trial `number`, after what was observed of the others."""


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "auto": ModelSampler,
    "tpe": partial(
        OptunaSampler, make=lambda seed: optuna.samplers.TPESampler(seed=seed)
    ),
    "random": partial(
        OptunaSampler, make=lambda seed: optuna.samplers.RandomSampler(seed=seed)
    ),
    "qmc": QuasiRandomSampler,
    "gp": partial(OptunaSampler, make=make_gp),
}


def make_sampler(
    name: str,
    space: SearchSpace,
    *,
    direction: Direction,
    seed: int,
    balanced: str | None = None,
) -> Sampler:
    """The sampler of that name for a study.

    Where `balanced` names a dimension, quasi-random points with equally many of its
    choices.

    Raises UnknownName for a sampler that is not offered, EnvironmentProblem where `gp`
    lacks PyTorch.
    """
    check_sampler(name)
    if balanced is not None:
        return BalancedSampler(space, direction=direction, seed=seed, balanced=balanced)
    return SAMPLERS[name](space, direction=direction, seed=seed)


def check_sampler(name: str) -> None:
    """Refuse a sampler that is not offered, or cannot run here.

    Raises UnknownName, EnvironmentProblem.
    """
    check_choice("sampler", name)
    if name == "gp" and importlib.util.find_spec("torch") is None:
        raise EnvironmentProblem(
            "--sampler gp needs PyTorch, which is not installed.",
            fix="Run: pip install 'lrsearch[gp]'",
        )
