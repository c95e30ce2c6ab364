"""Makes Keras optimizers and schedules from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrsearch.space.optimizers import OptimizerSpec, optimizer_named
from lrsearch.values import Json, Setting

EXCLUSIONS = ("var_list", "var_names")


def build_schedule(setting: Setting, total_steps: int, accumulation: int = 1) -> Any:
    """The setting's Keras LearningRateSchedule over `total_steps` updates."""
    from lrsearch.space._keras import Schedule

    return Schedule(setting=setting, total_steps=total_steps, accumulation=accumulation)


def build_optimizer(
    setting: Setting, total_steps: int, accumulation: int = 1, *, carried: Mapping[str, Json] | None = None, model: Any = None
) -> Any:
    """The setting's Keras optimizer with its schedule.

    `carried` are arguments kept from the user's own optimizer (clipnorm, use_ema, loss_scale_factor, ...). `model` lets Muon leave
    out the output layer, which it must not orthogonalise.
    """
    import keras

    spec = optimizer_named(setting.optimizer)
    arguments: dict[str, Any] = {**spec.fixed, **_hyper(spec, setting), **(carried or {})}
    if accumulation > 1:  # Keras refuses 1
        arguments["gradient_accumulation_steps"] = accumulation
    if spec.name == "muon" and model is not None:
        arguments["exclude_layers"] = [layer.name for layer in model.layers[-1:]]
    return getattr(keras.optimizers, spec.keras)(build_schedule(setting, total_steps, accumulation), **arguments)


def _hyper(spec: OptimizerSpec, setting: Setting) -> dict[str, float]:
    # A decay of zero is left out: Keras would add a useless multiplication to every update.
    return {name: value for name, value in setting.hyper.items() if not (name == "weight_decay" and value == 0)}
