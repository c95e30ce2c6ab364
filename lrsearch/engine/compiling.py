"""The user's compile is kept, but for the optimizer and its rate.

The searched optimizer takes the place of the user's before anything is traced: assigning it after a
first `fit` would silently train on with the old one. Loss, metrics, jit_compile and the rest are
not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import tree

from lrsearch.definition import StudyDefinition
from lrsearch.engine import _keras
from lrsearch.engine._tensorflow import things_created
from lrsearch.engine.shared import shared_layers
from lrsearch.errors import InvalidValue
from lrsearch.space import build_optimizer, keras_class
from lrsearch.values import Json, Setting

YOURS_RATE = 1e-3  # of the Adam that stands for yours where the model is uncompiled
_CARRIED = (
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
)


def fresh_model(definition: StudyDefinition, extra: Mapping[str, Json]) -> Any:
    """A new model as the user compiles it, or, where it comes uncompiled, with the definition's
    loss and metrics and Adam.

    Layers that it shares with earlier models begin with their start values. Raises InvalidValue for
    a model whose rate lrsearch could not set, or that would train on from one trial to the next.
    """
    shared, before = shared_layers(definition.build_model), things_created()
    shared.restore()
    with _keras.same_names(definition.build_model), _keras.noting_auto_jit():
        model = definition.make_model(extra)
        _check_model(model)
        if not model.compiled or model.optimizer is None:
            with _keras.scope_of(model):
                _compile_yours(model, definition)
    _check_one_optimizer(model)
    _check_strategy(model)
    shared.note(model, inner(model.optimizer), before=before)
    if _keras.strategy_of(model) is None:
        _keras.leave_out_reduction(inner(model.optimizer))
    return model


def seeded_model(
    definition: StudyDefinition,
    extra: Mapping[str, Json],
    seed: int,
    *,
    kernels: bool,
    fixed_seeds: bool = False,
) -> Any:
    """A fresh model under a trial's seed.

    Where build_model sets seeds of its own (`fixed_seeds`), ours hold after it.
    """
    _keras.set_seeds(seed, kernels=kernels)
    model = fresh_model(definition, extra)
    if fixed_seeds:
        _keras.set_seeds(seed, kernels=kernels)
        _keras.seed_layers(model, seed)
    return model


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise InvalidValue(
            "build_model",
            got=f"a {type(model).__name__}",
            allowed="a function that returns a keras.Model",
        )
    if _keras.overrides_compile(model):
        what = f"{type(model).__name__}, which has a compile() of its own"
        raise InvalidValue(
            "build_model",
            got=what,
            allowed="a model with Keras' compile()",
            fix="Set losses in train_step or __init__.",
        )


def _check_strategy(model: Any) -> None:
    """Refuse every distribution but MirroredStrategy: each would need its own data order and
    checkpoints.
    """
    kind = _keras.unsupported_strategy(model)
    if kind:
        fix = "Build it on one device, or under tf.distribute.MirroredStrategy."
        raise InvalidValue(
            "build_model",
            got=f"a model under {kind}",
            allowed="a model that lrsearch can train",
            fix=fix,
        )


def _compile_yours(model: Any, definition: StudyDefinition) -> None:
    if definition.loss is None and type(model).train_step is keras.Model.train_step:
        fix = "Compile the model in build_model, or give loss= to StudyDefinition."
        raise InvalidValue(
            "loss", got=None, allowed="given where build_model returns an uncompiled model", fix=fix
        )
    k = definition.gradient_accumulation_steps
    optimizer = keras.optimizers.Adam(
        YOURS_RATE, gradient_accumulation_steps=k if k is not None and k > 1 else None
    )
    model.compile(optimizer=optimizer, loss=definition.loss, metrics=definition.metrics)


def _check_one_optimizer(model: Any) -> None:
    optimizer = inner(model.optimizer)
    nested = [
        each
        for each in tree.flatten(list(vars(optimizer).values()))
        if isinstance(each, keras.optimizers.Optimizer)
    ]
    others = [
        name
        for name, value in vars(model).items()
        for each in _members(value)
        if isinstance(each, keras.optimizers.Optimizer) and inner(each) is not optimizer
    ]
    if nested or others:
        what = f"several optimizers ({', '.join(others) or type(optimizer).__name__})"
        fix = "lrsearch searches one rate for the whole model."
        raise InvalidValue(
            "build_model",
            got=what,
            allowed="a model with one optimizer and one learning rate",
            fix=fix,
        )


def _members(value: Any) -> list[Any]:
    """An attribute's value, or what a list or dict of them holds."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def inner(optimizer: Any) -> Any:
    """The optimizer itself, out of its loss scaling."""
    return (
        optimizer.inner_optimizer if isinstance(optimizer, _keras.LossScaleOptimizer) else optimizer
    )


def accumulation_of(model: Any, definition: StudyDefinition, *, yours: bool = False) -> int:
    """Batches an update: the definition's word, else the user's optimizer's, which alone counts for
    `yours`.
    """
    asked = None if yours else definition.gradient_accumulation_steps
    return int(asked or inner(model.optimizer).gradient_accumulation_steps or 1)


def carried_of(model: Any) -> dict[str, Json]:
    """Arguments of the user's optimizer that every searched one keeps."""
    yours = inner(model.optimizer)
    carried = {
        name: value
        for name in _CARRIED
        if (value := getattr(yours, name, None)) not in {None, False}
    }
    if not carried.get("use_ema"):
        return {name: value for name, value in carried.items() if not name.startswith("ema_")}
    return carried


def set_searched(
    model: Any,
    setting: Setting,
    *,
    total_steps: int,
    accumulation: int,
    learning_rate: float | None = None,
) -> None:
    """Give a fresh model the setting's optimizer, with what is kept of the user's; `learning_rate`
    in place of its schedule.
    """
    yours = inner(model.optimizer)
    kept = carried_of(model)
    with _keras.same_names(keras_class(setting.optimizer)), _keras.scope_of(model):
        optimizer = build_optimizer(
            setting,
            total_steps,
            accumulation,
            carried=kept,
            model=model,
            learning_rate=learning_rate,
        )
    optimizer.lrsearch_feeds_rate = learning_rate is not None
    _keras.copy_decay_exclusions(yours, optimizer)
    if _keras.strategy_of(model) is None:
        _keras.leave_out_reduction(optimizer)
    scaled = isinstance(model.optimizer, _keras.LossScaleOptimizer)
    with _keras.scope_of(model):
        model.optimizer = _keras.scaled_like(model.optimizer, optimizer) if scaled else optimizer
