"""Makes Keras optimizers and schedules from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrsearch.errors import InvalidValue
from lrsearch.space._keras_layers import output_layers
from lrsearch.space.optimizers import find_optimizer
from lrsearch.values import Json, Setting


def build_schedule(setting: Setting, total_steps: int, accumulation: int = 1) -> Any:
    """The setting's Keras LearningRateSchedule over `total_steps` updates."""
    from lrsearch.space._keras import Schedule

    return Schedule(setting=setting, total_steps=total_steps, accumulation=accumulation)


def build_optimizer(
    setting: Setting,
    total_steps: int,
    accumulation: int = 1,
    *,
    carried: Mapping[str, Json] | None = None,
    model: Any = None,
    learning_rate: float | None = None,
) -> Any:
    """The setting's Keras optimizer with its schedule.

    `carried` are arguments kept from the user's own optimizer (clipnorm, use_ema,
    loss_scale_factor, ...). `model` lets Muon leave out the output layer, which it must
    not orthogonalise. With `learning_rate`, the rate is a variable in place of the
    schedule, for whoever feeds it.
    """
    spec = find_optimizer(setting.optimizer)
    arguments = keras_arguments(setting, accumulation, carried or {})
    if spec.name == "muon" and model is not None:
        arguments["exclude_layers"] = output_layers(model)
    given = (
        build_schedule(setting, total_steps, accumulation)
        if learning_rate is None
        else learning_rate
    )
    return keras_class(spec.name)(given, **arguments)


def scale_loss(optimizer: Any, scaling: Mapping[str, Json]) -> Any:
    """`optimizer` in a loss scaling of these arguments."""
    import keras

    return keras.optimizers.LossScaleOptimizer(optimizer, **scaling)


def keras_class(optimizer: str) -> Any:
    """The class in keras.optimizers.

    Raises InvalidValue where the installed Keras does not have the class yet.
    """
    import keras

    found = getattr(keras.optimizers, find_optimizer(optimizer).keras, None)
    if found is None:
        allowed = f"an optimizer that Keras {keras.__version__} has"
        raise InvalidValue(
            "optimizers",
            got=optimizer,
            allowed=allowed,
            fix="Update it: pip install -U keras",
        )
    return found


def keras_arguments(
    setting: Setting, accumulation: int, carried: Mapping[str, Json]
) -> dict[str, Any]:
    """The arguments of the setting's optimizer, without its schedule and Muon's excluded layers."""
    arguments: dict[str, Any] = {
        **find_optimizer(setting.optimizer).fixed,
        **_hyper(setting),
        **carried,
    }
    if accumulation > 1:  # Keras refuses 1
        arguments["gradient_accumulation_steps"] = accumulation
    return arguments


def _hyper(setting: Setting) -> dict[str, float]:
    hyper = dict(setting.hyper)
    independent = hyper.pop("independent_weight_decay", 0.0)
    # Keras multiplies the decay by the rate: divided by the peak, it follows the
    # schedule's shape alone
    if independent:
        hyper["weight_decay"] = independent / setting.learning_rate
    # A decay of zero is left out: Keras would add a useless multiplication to every
    # update.
    return {
        name: value for name, value in hyper.items() if name != "weight_decay" or value
    }
