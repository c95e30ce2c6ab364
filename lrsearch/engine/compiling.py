"""Builds the user's model, and puts a searched optimizer in the place of the user's.

The rest of the user's compile stays: loss, metrics, jit_compile. The optimizer is
replaced before anything is traced: after a first `fit`, training would silently go on
with the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import tree

from lrsearch.definition import StudyDefinition
from lrsearch.engine._keras_model import (
    has_own,
    note_auto_jit,
    scope_of,
    skip_all_reduce,
    unsupported_strategy,
)
from lrsearch.engine._keras_optimizer import (
    copy_decay_exclusions,
    inner,
    scale_loss_like,
)
from lrsearch.engine._keras_state import same_names, seed_layers, set_seeds
from lrsearch.engine._tensorflow import things_created
from lrsearch.engine.shared import shared_layers
from lrsearch.engine.types import Model
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


def fresh_model(definition: StudyDefinition, extra: Mapping[str, Json]) -> Model:
    """Build a new model as the user compiles it.

    An uncompiled model gets the definition's loss and metrics, and Adam. Layers that it
    shares with earlier models begin with their start values. Raises InvalidValue for a
    model whose rate lrsearch could not set, or that would train on from one trial to
    the next.
    """
    shared, before = shared_layers(definition.build_model), things_created()
    shared.restore()
    with same_names(definition.build_model), note_auto_jit():
        model = definition.make_model(extra)
        _check_model(model)
        if not model.compiled or model.optimizer is None:
            with scope_of(model):
                _compile_yours(model, definition)
    _check_one_optimizer(model)
    _check_strategy(model)
    shared.note(model, inner(model.optimizer), before=before)
    skip_all_reduce(model)
    return model


def seeded_model(
    definition: StudyDefinition,
    extra: Mapping[str, Json],
    seed: int,
    *,
    kernels: bool,
    fixed_seeds: bool,
) -> Model:
    """Build a fresh model under a trial's seed.

    Where build_model sets seeds of its own (`fixed_seeds`), the trial's are set again
    after it.
    """
    set_seeds(seed, kernels=kernels)
    model = fresh_model(definition, extra)
    if fixed_seeds:
        set_seeds(seed, kernels=kernels)
        seed_layers(model, seed)
    return model


def _check_model(model: Model) -> None:
    kind = type(model).__name__
    if not isinstance(model, keras.Model):
        allowed = "a function that returns a keras.Model"
        fix = "Return the model at its end."
        raise InvalidValue("build_model", got=f"a {kind}", allowed=allowed, fix=fix)
    if has_own(model, "compile"):
        got = f"{kind}, which has a compile() of its own"
        fix = "Set losses in train_step or __init__."
        raise InvalidValue(
            "build_model", got=got, allowed="a model with Keras' compile()", fix=fix
        )


def _check_strategy(model: Model) -> None:
    """Refuse every distribution but MirroredStrategy.

    Each would need its own data order and checkpoints.
    """
    if kind := unsupported_strategy(model):
        got, allowed = f"a model under {kind}", "a model that lrsearch can train"
        fix = "Build it on one device, or under tf.distribute.MirroredStrategy."
        raise InvalidValue("build_model", got=got, allowed=allowed, fix=fix)


def _compile_yours(model: Model, definition: StudyDefinition) -> None:
    if definition.loss is None and not has_own(model, "train_step"):
        allowed = "given where build_model returns an uncompiled model"
        fix = "Compile the model in build_model, or give loss= to StudyDefinition."
        raise InvalidValue("loss", got=None, allowed=allowed, fix=fix)
    steps = definition.gradient_accumulation_steps or 1
    optimizer = keras.optimizers.Adam(
        YOURS_RATE, gradient_accumulation_steps=steps if steps > 1 else None
    )
    model.compile(optimizer=optimizer, loss=definition.loss, metrics=definition.metrics)


def _check_one_optimizer(model: Model) -> None:
    kind, optimizer = keras.optimizers.Optimizer, inner(model.optimizer)
    nested = any(
        isinstance(each, kind) for each in tree.flatten(list(vars(optimizer).values()))
    )
    others = [
        name
        for name, value in vars(model).items()
        for each in _members(value)
        if isinstance(each, kind) and inner(each) is not optimizer
    ]
    if nested or others:
        got = f"several optimizers ({', '.join(others) or type(optimizer).__name__})"
        allowed = "a model with one optimizer and one learning rate"
        fix = "lrsearch searches one rate for the whole model."
        raise InvalidValue("build_model", got=got, allowed=allowed, fix=fix)


def _members(value: Any) -> list[Any]:
    """List the members of a list or dict; of another value, the value.

    Keras' tree cannot: it sorts keys, and Keras' own attributes have layers as keys.
    """
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def accumulation_of(
    model: Model, definition: StudyDefinition, *, yours: bool = False
) -> int:
    """Batches per update, by the definition or else the optimizer; by the optimizer for `yours`."""
    defined = None if yours else definition.gradient_accumulation_steps
    return int(defined or inner(model.optimizer).gradient_accumulation_steps or 1)


def carried_of(model: Model) -> dict[str, Json]:
    """Read the arguments of the user's optimizer that every searched one keeps."""
    yours = inner(model.optimizer)
    names = [name for name in _CARRIED if yours.use_ema or not name.startswith("ema_")]
    values = {name: getattr(yours, name, None) for name in names}
    return {name: value for name, value in values.items() if value not in {None, False}}


def set_searched(
    model: Model,
    setting: Setting,
    *,
    total_steps: int,
    accumulation: int,
    learning_rate: float | None = None,
) -> None:
    """Give a fresh model the setting's optimizer, with the arguments that the user's carries over.

    With `learning_rate`, the rate is a variable of that value in place of the schedule.
    """
    with same_names(keras_class(setting.optimizer)), scope_of(model):
        optimizer = build_optimizer(
            setting,
            total_steps,
            accumulation,
            carried=carried_of(model),
            model=model,
            learning_rate=learning_rate,
        )
    optimizer.lrsearch_feeds_rate = learning_rate is not None
    copy_decay_exclusions(inner(model.optimizer), optimizer)
    with scope_of(model):
        model.optimizer = scale_loss_like(model.optimizer, optimizer)
    skip_all_reduce(model)
