"""Proposes settings: a table of samplers, fed with the study's records, each proposal a function of
seed, number and history.

A fresh sampler is made for every proposal, seeded from the study's seed and the trial's number,
over the records in number order: a worker that restarts, or records that arrive in another order,
give the same setting. Knows nothing of SQL or Keras. CMA-ES is not among the samplers: Optuna's
unpickles rows of the database.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from lrsearch.choices import check_choice
from lrsearch.errors import EnvironmentProblem, UnknownName
from lrsearch.sampling._optuna import frozen_trial, sample
from lrsearch.sampling.sobol import sobol_point
from lrsearch.values import Direction, Json, Setting, TrialRecord
from lrsearch.values import TrialState as LedgerState

if TYPE_CHECKING:
    from lrsearch.space import Dimension

Sampled: TypeAlias = Callable[["Proposer", int], dict[str, Any]]


class Space(Protocol):
    """What a proposer needs of a search space; `lrsearch.space.SearchSpace` is one."""

    def dimensions(self) -> tuple[Dimension, ...]: ...

    def params_of(self, setting: Setting) -> Mapping[str, Json]: ...

    def setting_from(self, params: Mapping[str, Json]) -> Setting: ...


class Proposer:
    """Proposes the settings of a study's trials.

    Divergence is a result: a diverged trial is shown to the sampler as complete and infeasible,
    with the worst value seen, since Optuna's samplers never learn from a failed one (67 to 95 % of
    trials 11 to 60 diverged then; told as infeasible, 2 to 41 %). A failed trial is left out, a
    pruned one counts with its last value, a running one keeps others away from its place. Settings
    that lie outside the space (the user's own compile may) are left out too.

    Raises UnknownName for a sampler that is not offered, EnvironmentProblem where `gp` lacks
    PyTorch.
    """

    def __init__(
        self, space: Space, *, direction: Direction, sampler: str = "tpe", seed: int
    ) -> None:
        check_sampler(sampler)
        self._space, self._direction, self._seed = space, direction, seed
        self._draw = SAMPLERS[sampler]
        self._dimensions = tuple(space.dimensions())
        self._distributions = {each.name: _distribution(each) for each in self._dimensions}
        self._trials: dict[int, FrozenTrial] = {}
        # What a history with divergence in it shows instead; made once, since ten thousand anew
        # take half a second.
        self._feasible: dict[int, FrozenTrial] = {}
        self._diverged: dict[int, FrozenTrial] = {}  # with the worst value of the last history

    def observe(self, records: Iterable[TrialRecord]) -> None:
        """Take in search trials' records, new and changed, in any order; the newest of a number
        counts.
        """
        for record in records:
            trial = self._frozen(record)
            for known in (self._trials, self._feasible, self._diverged):
                known.pop(record.number, None)
            if trial is None:
                continue
            self._trials[record.number] = trial
            if _diverged(trial):
                self._diverged[record.number] = trial
            else:
                self._feasible[record.number] = _constrained(trial, self._distributions)

    def propose(self, number: int) -> Setting:
        """The setting for trial `number`, given what was observed of the others."""
        return self._space.setting_from(self._draw(self, number))

    def _frozen(self, record: TrialRecord) -> FrozenTrial | None:
        shown = _SHOWN_AS.get(record.state)
        if shown is None or record.setting is None or not record.is_search:
            return None
        params = self._params(record.setting)
        return None if params is None else shown(record, params, self._distributions)

    def _params(self, setting: Setting) -> dict[str, Json] | None:
        """The setting on the sampler's axes, or None where it is no point of the space."""
        try:
            params = dict(self._space.params_of(setting))
        except (LookupError, UnknownName, ValueError):
            return None
        inside = all(
            each.name in params and _contains(each, params[each.name]) for each in self._dimensions
        )
        return params if inside else None

    def _history(self, number: int) -> list[FrozenTrial]:
        """The other trials in number order; the diverged with the worst value among those that
        ended well.

        Where one diverged, all carry a constraint: the Gaussian process wants it on every trial.
        """
        others = [each for each in sorted(self._trials) if each != number]
        diverged = [each for each in others if each in self._diverged]
        if not diverged:
            return [self._trials[each] for each in others]
        well = (self._feasible[each] for each in others if each in self._feasible)
        values = [trial.values[0] for trial in well if trial.state is TrialState.COMPLETE]
        worst = float(self._direction.worst(values)) if values else 0.0
        for each in diverged:
            if self._diverged[each].values[0] != worst:
                self._diverged[each] = _constrained(
                    self._trials[each], self._distributions, value=worst
                )
        return [self._feasible.get(each) or self._diverged[each] for each in others]

    def _seed_for(self, number: int) -> int:
        digest = hashlib.sha256(f"{self._seed}/propose/{number}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def _by(self, sampler: optuna.samplers.BaseSampler, number: int) -> dict[str, Any]:
        maximize = self._direction is Direction.MAXIMIZE
        return sample(
            sampler,
            self._history(number),
            number=number,
            space=self._distributions,
            maximize=maximize,
        )

    def _tpe(self, number: int) -> dict[str, Any]:
        return self._by(optuna.samplers.TPESampler(seed=self._seed_for(number)), number)

    def _random(self, number: int) -> dict[str, Any]:
        return self._by(optuna.samplers.RandomSampler(seed=self._seed_for(number)), number)

    def _gp(self, number: int) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(seed=self._seed_for(number) % 2**30)
        return self._by(sampler, number)

    def _qmc(self, number: int) -> dict[str, Any]:
        """The trial's number is its place in one scrambled sequence: workers need not agree on a
        counter.
        """
        return sobol_point(self._dimensions, number, seed=self._seed)


SAMPLERS: dict[str, Sampled] = {
    "tpe": Proposer._tpe,  # noqa: SLF001 - the table of this very class
    "random": Proposer._random,  # noqa: SLF001
    "qmc": Proposer._qmc,  # noqa: SLF001
    "gp": Proposer._gp,  # noqa: SLF001
}


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


def _distribution(dimension: Dimension) -> BaseDistribution:
    return _DISTRIBUTIONS[dimension.kind](dimension)


_DISTRIBUTIONS: dict[str, Callable[[Dimension], BaseDistribution]] = {
    "float": lambda it: FloatDistribution(float(it.low), float(it.high), log=it.log),
    "int": lambda it: IntDistribution(int(it.low), int(it.high), log=it.log),
    "categorical": lambda it: CategoricalDistribution(tuple(it.choices)),
}


def _contains(dimension: Dimension, value: Json) -> bool:
    if dimension.kind == "categorical":
        return value in dimension.choices
    return isinstance(value, int | float) and bool(dimension.low <= value <= dimension.high)


# How the ledger's states look to a sampler.

_Params: TypeAlias = dict[str, Any]
_Distributions: TypeAlias = dict[str, BaseDistribution]
_VIOLATION = 1.0  # any number above 0: there is one kind of divergence


def _as_running(record: TrialRecord, params: _Params, distributions: _Distributions) -> FrozenTrial:
    return frozen_trial(
        record.number, TrialState.RUNNING, params=params, distributions=distributions
    )


def _as_complete(
    record: TrialRecord, params: _Params, distributions: _Distributions
) -> FrozenTrial:
    # Without a value its objective was not defined at the end; one of -inf would be the best for
    # ever.
    if record.value is None or not math.isfinite(record.value):
        return _as_diverged(record, params, distributions)
    return frozen_trial(
        record.number,
        TrialState.COMPLETE,
        params=params,
        distributions=distributions,
        value=record.value,
    )


def _as_diverged(
    record: TrialRecord, params: _Params, distributions: _Distributions
) -> FrozenTrial:
    return frozen_trial(
        record.number,
        TrialState.COMPLETE,
        params=params,
        distributions=distributions,
        value=0.0,
        violation=_VIOLATION,
    )


def _as_pruned(
    record: TrialRecord, params: _Params, distributions: _Distributions
) -> FrozenTrial | None:
    last = record.last_value
    if last is None or not math.isfinite(last):
        return None
    return frozen_trial(
        record.number,
        TrialState.PRUNED,
        params=params,
        distributions=distributions,
        value=last,
        last=(record.epochs, last),
    )


_SHOWN_AS: dict[
    LedgerState, Callable[[TrialRecord, _Params, _Distributions], FrozenTrial | None]
] = {
    # WAITING with a setting: interrupted, or its worker was lost; it will run again there. FAILED
    # says nothing of the setting.
    LedgerState.WAITING: _as_running,
    LedgerState.RUNNING: _as_running,
    LedgerState.COMPLETE: _as_complete,
    LedgerState.DIVERGED: _as_diverged,
    LedgerState.PRUNED: _as_pruned,
}


def _diverged(trial: FrozenTrial) -> bool:
    return any(violation > 0 for violation in trial.constraints.values())


def _constrained(
    trial: FrozenTrial, distributions: _Distributions, *, value: float | None = None
) -> FrozenTrial:
    """The trial with its constraint; a diverged one with the `value` that it is shown with."""
    if trial.state is TrialState.RUNNING:
        return trial
    return frozen_trial(
        trial.number,
        trial.state,
        params=trial.params,
        distributions=distributions,
        value=trial.value if value is None else value,
        last=next(iter(trial.intermediate_values.items()), None),
        violation=_VIOLATION if _diverged(trial) else -_VIOLATION,
    )
