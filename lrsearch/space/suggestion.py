"""What a search space suggests to a training loop of any framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from lrsearch.errors import InvalidValue
from lrsearch.space.build import build_optimizer, build_schedule
from lrsearch.space.dimensions import Dimension
from lrsearch.space.schedules import rate
from lrsearch.space.search_space import SearchSpace
from lrsearch.values import Json, Setting


class SuggestingTrial(Protocol):
    """The part of an Optuna trial that is used."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int) -> int: ...
    def suggest_categorical(self, name: str, choices: Any) -> Json: ...


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A setting and the length of the run it is for: updates, each of `accumulation` batches."""

    setting: Setting
    total_steps: int
    accumulation: int = 1

    def rate(self, step: int) -> float:
        """The learning rate of update `step`, counted from 0."""
        return rate(self.setting, step, self.total_steps)

    def schedule(self) -> Any:
        """The Keras schedule."""
        return build_schedule(self.setting, self.total_steps, self.accumulation)

    def optimizer(self, model: Any = None) -> Any:
        """The Keras optimizer, schedule included. Muon needs the model, whose output layers it leaves out.

        Raises InvalidValue for Muon without a model.
        """
        if self.setting.optimizer == "muon" and model is None:
            fix = "It must not orthogonalise the output layer."
            raise InvalidValue("optimizer(model)", got=None, allowed="given the keras.Model where it is Muon", fix=fix)
        return build_optimizer(self.setting, self.total_steps, self.accumulation, model=model)


def suggest(space: SearchSpace, trial: SuggestingTrial, *, total_steps: int, batch_size: int | None = None) -> Suggestion:
    """Ask `trial` for every dimension of `space`."""
    params = {each.name: _ask(trial, each) for each in space.dimensions()}
    if batch_size is not None:
        params["batch_size"] = batch_size
    setting = space.setting_from(params)
    if hasattr(trial, "set_user_attr"):
        trial.set_user_attr("learning_rate", setting.learning_rate)
    return Suggestion(setting=setting, total_steps=total_steps)


def _ask(trial: SuggestingTrial, dimension: Dimension) -> Json:
    if dimension.kind == "categorical":
        return trial.suggest_categorical(dimension.name, dimension.choices)
    if dimension.kind == "int":
        return trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high))
    return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)
