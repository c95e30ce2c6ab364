"""The names of Optuna that are not its public door, read in optuna 5.0.0.

- `Study.__init__` with a storage of our own (`create_study` would log a line and write to it);
- `InMemoryStorage`, subclassed so that it shows a list of trials that we keep, and swallows what samplers write to it
  (TPE and GP note the parameters that they sampled, for other processes to see; the ledger does that here);
- `FrozenTrial.system_attrs["constraints:<key>"]`, where `set_constraint` puts it (`study/_constrained_optimization.py`).

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

    def __init__(self, trials: Sequence[FrozenTrial], *, maximize: bool) -> None:
        super().__init__()
        self._shown = list(trials)
        self._way = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE

    def get_study_id_from_name(self, study_name: str) -> int:
        del study_name
        return _STUDY_ID

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        del study_id
        return [self._way]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        del study_id
        return {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Nothing is kept: a proposal must not change the history that the next one sees."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        del study_id
        found = [trial for trial in self._shown if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


def frozen_trial(
    number: int,
    state: TrialState,
    *,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    value: float | None = None,
    last: tuple[int, float] | None = None,
    violation: float | None = None,
) -> FrozenTrial:
    """A trial as samplers read it.

    `last` is (epoch, value) of a pruned one; `violation` above 0 marks it infeasible.
    """
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
        system_attrs={} if violation is None else {"constraints:diverged": violation},
        intermediate_values={} if last is None else dict([last]),
    )


def sample(
    sampler: BaseSampler,
    history: Sequence[FrozenTrial],
    *,
    number: int,
    space: dict[str, BaseDistribution],
    maximize: bool,
) -> dict[str, Any]:
    """One suggestion for trial `number`, over the whole of `space` at once where the sampler can.

    `ask()` is not used: the trial that it creates would count as a running one of the history. The
    space is handed in rather than inferred, so that it does not depend on which trials have ended.
    """
    study = Study(_NAME, _History(history, maximize=maximize), sampler, NopPruner())
    asked = frozen_trial(number, TrialState.RUNNING, params={}, distributions={})
    searched = {name: each for name, each in sorted(space.items()) if not each.single()}
    params = dict(sampler.sample_relative(study, asked, searched))
    for name, each in searched.items():
        if name not in params:
            params[name] = sampler.sample_independent(study, asked, name, each)
    return params | {name: _only(each) for name, each in space.items() if each.single()}


def _only(distribution: BaseDistribution) -> Any:
    """The one value of a distribution: TPE would warn that it draws such a one by itself."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low
