"""Proposals of Optuna's samplers over a list of trials, through names read in optuna 5.0.0.

These names are not Optuna's public door:

- `Study.__init__` with a storage of our own: `create_study` would log a line and write to it.
- `InMemoryStorage`: our subclass shows a list of trials, and ignores what samplers write. TPE and
  GP note the parameters that they sampled for other processes; the ledger does that here.
- `FrozenTrial.system_attrs["constraints:KEY"]`: `set_constraint` puts its value there
  (`study/_constrained_optimization.py`).

Knows nothing of the ledger or of our space.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

_STUDY_ID = 0
_NAME = "history"


class _History(InMemoryStorage):
    """A read-only study over a list of trials."""

    def __init__(
        self, trials: Sequence[FrozenTrial], direction: StudyDirection
    ) -> None:
        super().__init__()
        self._shown = list(trials)
        self._direction = direction

    def get_study_id_from_name(self, study_name: str) -> int:
        del study_name
        return _STUDY_ID

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        del study_id
        return [self._direction]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        del study_id
        return {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Ignore it: a proposal must not change the history that the next one sees."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        del study_id
        trials = [
            trial for trial in self._shown if states is None or trial.state in states
        ]
        return copy.deepcopy(trials) if deepcopy else trials


def frozen_trial(
    number: int,
    state: TrialState,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    value: float | None = None,
    *,
    epoch: int | None = None,
) -> FrozenTrial:
    """Make a trial as samplers read it; `epoch` is that of a pruned trial's `value`."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=value,
        datetime_start=None,
        datetime_complete=None,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values={} if epoch is None or value is None else {epoch: value},
    )


def constrain_trial(trial: FrozenTrial, violation: float | None) -> None:
    """Mark a trial infeasible (`violation` above 0) or feasible, or take the mark off (None)."""
    trial.system_attrs = (
        {} if violation is None else {"constraints:diverged": violation}
    )


def sample(
    sampler: BaseSampler,
    history: Sequence[FrozenTrial],
    *,
    number: int,
    space: dict[str, BaseDistribution],
    direction: str,
) -> dict[str, Any]:
    """Suggest values for trial `number`, of all of `space` at once where the sampler can.

    `ask()` is not used: the trial that it creates would count as a running one of the
    history. The space is handed in rather than inferred, so that it does not depend on
    which trials have ended.
    """
    study = Study(
        _NAME,
        _History(history, StudyDirection[direction.upper()]),
        sampler,
        NopPruner(),
    )
    trial = frozen_trial(number, TrialState.RUNNING, {}, {})
    searched = {name: each for name, each in sorted(space.items()) if not each.single()}
    params = dict(sampler.sample_relative(study, trial, searched))
    for name, each in searched.items():
        if name not in params:
            params[name] = sampler.sample_independent(study, trial, name, each)
    return params | {
        name: _only_value(each) for name, each in space.items() if each.single()
    }


def _only_value(distribution: BaseDistribution) -> Any:
    """The one value of a distribution: TPE would warn that it draws such a distribution alone."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low
