"""A Keras optimizer: its loss scaling, weight decay, rate, state and averages.

Private names of Keras, read in 3.15.1; the oldest version that is tested is 3.13.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers import LossScaleOptimizer

from lrsearch.engine.types import Model, Optimizer, Tensor, Variable


def inner(optimizer: Optimizer) -> Optimizer:
    """Take an optimizer out of its loss scaling."""
    return (
        optimizer.inner_optimizer
        if isinstance(optimizer, LossScaleOptimizer)
        else optimizer
    )


def scaling_of(optimizer: Optimizer) -> dict[str, Any]:
    """The arguments of a loss scaling."""
    return {
        "initial_scale": float(optimizer.initial_scale),
        "dynamic_growth_steps": int(optimizer.dynamic_growth_steps),
    }


def scale_loss_like(yours: Optimizer, optimizer: Optimizer) -> Optimizer:
    """Wrap `optimizer` in a loss scaling with the options of yours, where yours has one."""
    if not isinstance(yours, LossScaleOptimizer):
        return optimizer
    return LossScaleOptimizer(optimizer, **scaling_of(yours))


# -- weight decay ----------------------------------------------------------------------

_EXCLUDED = "_exclude_from_weight_decay"
_EXCLUDED_NAMES = "_exclude_from_weight_decay_pattern"


def copy_decay_exclusions(source: Optimizer, target: Optimizer) -> None:
    """Leave out of weight decay what `source` leaves out; before `target` is built."""
    for name in (_EXCLUDED, _EXCLUDED_NAMES):
        if getattr(source, name, None):
            setattr(target, name, getattr(source, name))


def decay_exclusions(
    optimizer: Optimizer, variables: Sequence[Variable]
) -> dict[str, Any]:
    """Read the arguments of `exclude_from_weight_decay` as JSON; empty for none.

    They are patterns of names, and places in `variables`.
    """
    pattern = getattr(optimizer, _EXCLUDED_NAMES, None)
    ids = getattr(optimizer, _EXCLUDED, None) or ()
    places = [
        place for place, each in enumerate(variables) if optimizer._var_key(each) in ids
    ]
    names = {"var_names": [pattern.pattern]} if pattern else {}
    return names | ({"places": places} if places else {})


# -- the rate --------------------------------------------------------------------------


def rate_of(optimizer: Optimizer) -> Any:
    """The learning rate as it was given: a schedule, a variable, or a function of no argument."""
    return optimizer._learning_rate


def current_rate(optimizer: Optimizer) -> float:
    """The learning rate of the next step, as a number."""
    return float(ops.convert_to_numpy(optimizer.learning_rate))


def put_rate_back(optimizer: Optimizer, variable: Variable, value: float) -> None:
    """Let the rate be that variable again, with that value, whatever replaced it."""
    optimizer._learning_rate = variable
    variable.assign(value)


def schedule_of(optimizer: Optimizer) -> Any | None:
    """The rate where it is a schedule, else None."""
    rate = rate_of(optimizer)
    return (
        rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
        else None
    )


def rate_is_function(optimizer: Optimizer) -> bool:
    """Whether the rate is a function without arguments, which Keras calls while it traces."""
    return callable(rate_of(optimizer)) and schedule_of(optimizer) is None


# -- state and averages ----------------------------------------------------------------


def optimizer_state(optimizer: Optimizer) -> list[Variable]:
    """List the optimizer's variables, without a rate that lrsearch sets at every update."""
    own = inner(optimizer)
    rate = rate_of(own) if getattr(own, "lrsearch_feeds_rate", False) else None
    return [each for each in optimizer.variables if each is not rate]


def finalize(model: Model) -> None:
    """Give the weights their moving average, where one is kept, as `fit` does at its end."""
    model.optimizer.finalize_variable_values(model.trainable_weights)


def holds_moving_average(model: Model) -> bool:
    """Whether the weights are the moving average that the optimizer keeps, as after `finalize`."""
    optimizer = inner(model.optimizer)
    if not optimizer.use_ema or not optimizer.built:
        return False
    pairs = zip(
        model.trainable_variables,
        optimizer._model_variables_moving_average,
        strict=True,
    )
    return all(np.array_equal(*map(ops.convert_to_numpy, pair)) for pair in pairs)


def averaged_weights(
    optimizer: Optimizer, variables: Sequence[Variable]
) -> list[Tensor] | None:
    """Compute the weights x at which ScheduleFreeAdamW is evaluated; None before its first step.

    The optimizer keeps y and z, and trains at y = (1 - beta_1) z + beta_1 x (Defazio
    2024, equation 1).
    """
    if not optimizer.built:
        return None
    pairs = zip(variables, optimizer._momentums, strict=True)
    return [(y - (1 - optimizer.beta_1) * z) / optimizer.beta_1 for y, z in pairs]
