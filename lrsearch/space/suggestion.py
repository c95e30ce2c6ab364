"""What a search space suggests to a training loop of any framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lrsearch.errors import InvalidValue
from lrsearch.space.build import build_optimizer, build_schedule, scale_loss
from lrsearch.space.dimensions import Dimension
from lrsearch.space.schedules import rate
from lrsearch.values import Json, Setting


class SuggestingTrial(Protocol):
    """The part of an Optuna trial that is used."""

    def suggest_float(
        self, name: str, low: float, high: float, *, log: bool = False
    ) -> float: ...
    def suggest_int(self, name: str, low: int, high: int) -> int: ...
    def suggest_categorical(self, name: str, choices: Any) -> Json: ...


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A setting and the length of the run it is for: updates, each of `accumulation` batches.

    The rest is of a study's own compile, which every optimizer of the study keeps:
    `carried` arguments (clipnorm, use_ema, ...), `decay_exclusions` (`var_names`,
    `places` among the trained variables) and the `scaling` of the loss.
    """

    setting: Setting
    total_steps: int
    accumulation: int = 1
    carried: Mapping[str, Json] = field(default_factory=dict)
    decay_exclusions: Mapping[str, Json] = field(default_factory=dict)
    scaling: Mapping[str, Json] | None = None

    def rate(self, step: int) -> float:
        """The learning rate of update `step`, counted from 0."""
        return rate(self.setting, step, self.total_steps)

    def schedule(self) -> Any:
        """The Keras schedule."""
        return build_schedule(self.setting, self.total_steps, self.accumulation)

    def optimizer(self, model: Any = None) -> Any:
        """The Keras optimizer, schedule included.

        Muon needs the model, whose output layers it leaves out.

        Raises InvalidValue where the model is needed: for Muon, and for variables that
        weight decay leaves out.
        """
        if self.setting.optimizer == "muon" and model is None:
            allowed = "given the keras.Model where it is Muon"
            fix = "Muon leaves out the output layer, which only the model shows."
            raise InvalidValue("optimizer(model)", got=None, allowed=allowed, fix=fix)
        made = build_optimizer(
            self.setting,
            self.total_steps,
            self.accumulation,
            carried=self.carried,
            model=model,
        )
        self._leave_out_of_decay(made, model)
        return scale_loss(made, self.scaling) if self.scaling else made

    def _leave_out_of_decay(self, made: Any, model: Any) -> None:
        excluded = self.decay_exclusions
        if not excluded or not made.weight_decay:
            return
        places, names = excluded.get("places", ()), excluded.get("var_names")
        if places and model is None:
            allowed = "given the built keras.Model"
            fix = "Weight decay leaves out some of the model's variables."
            raise InvalidValue("optimizer(model)", got=None, allowed=allowed, fix=fix)
        variables = [model.trainable_variables[place] for place in places]
        made.exclude_from_weight_decay(var_list=variables or None, var_names=names)


def ask(trial: SuggestingTrial, dimension: Dimension) -> Json:
    """One dimension's value, as the trial suggests it."""
    if dimension.kind == "categorical":
        return trial.suggest_categorical(dimension.name, dimension.choices)
    if dimension.kind == "int":
        return trial.suggest_int(
            dimension.name, int(dimension.low), int(dimension.high)
        )
    return trial.suggest_float(
        dimension.name, dimension.low, dimension.high, log=dimension.log
    )
