"""Everything private of Keras that the engines need. Read in Keras 3.15.1; the oldest version that is tested is 3.13.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import global_seed_generator
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.trainer import Trainer

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer


def overrides_compile(model: Any) -> bool:
    """Whether the model's class has a `compile` of its own."""
    return type(model).compile is not Trainer.compile


def needs_loss_scaling(model: Any) -> bool:
    """Whether `compile` would have wrapped the optimizer for mixed_float16."""
    return bool(model.dtype_policy.name == "mixed_float16")


def copy_decay_exclusions(source: Any, target: Any) -> None:
    """Leave out of weight decay what `source` leaves out; before `target` is built."""
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if getattr(source, name, None):
            setattr(target, name, getattr(source, name))


def optimizer_state(optimizer: Any) -> list[Any]:
    """The optimizer's variables; a searched optimizer's rate is none of its state, whether a schedule or a fed variable."""
    wrapped = optimizer.inner_optimizer if isinstance(optimizer, LossScaleOptimizer) else optimizer
    fed = getattr(wrapped, "lrsearch_feeds_rate", False)
    return [each for each in optimizer.variables if not (fed and each is wrapped._learning_rate)]  # noqa: SLF001


def leave_out_reduction(optimizer: Any) -> None:
    """Hand gradients on as they are, which is what their reduction over a single replica does.

    TensorFlow's reduction registers a gradient function in every trace and keeps it for ever, and with it the trace and its
    model: 3.5 MiB a trial of the smallest model (TensorFlow 2.21).
    """
    if not tf.distribute.has_strategy():
        optimizer._all_reduce_sum_gradients = list  # noqa: SLF001


def compile_again(model: Any, optimizer: Any) -> None:
    """Compile with the same arguments but another optimizer: what `save` writes is what `compile` was given."""
    model.compile(**{**dict(model._compile_config.config), "optimizer": optimizer})  # noqa: SLF001


def asked_for_jit(model: Any) -> bool:
    """Whether the user's compile says jit_compile=True; "auto" is ours to choose: graphs of many steps are quick."""
    return dict(model._compile_config.config).get("jit_compile") is True  # noqa: SLF001


def adopt_seed_generator(generator: Any) -> None:
    """Make `generator` the global one, so that a kept graph and what runs outside it draw from one state."""
    global_state.set_global_attribute("global_seed_generator", generator)


def flat_logs(results: Mapping[str, Any]) -> dict[str, float]:
    """Metrics' results under the names that `fit` logs them: a metric of several results gives several."""
    found: dict[str, float] = {}
    for name, value in results.items():
        found |= flat_logs(value) if isinstance(value, Mapping) else {name: float(value)}
    return found


def finalize(model: Any) -> None:
    """What `fit` does after the last epoch: weights become their moving average where the optimizer keeps one."""
    model.optimizer.finalize_variable_values(model.trainable_weights)


def class_weights(y: Any, weights: dict[int, float]) -> Any:
    """The sample weights that `fit` makes of class weights."""
    return data_adapter_utils.class_weight_to_sample_weights(y, weights)


def rate_of(optimizer: Any) -> Any:
    """The optimizer's learning rate as it was given: a schedule, a variable, or a callable."""
    return optimizer._learning_rate  # noqa: SLF001


def build_fully(model: Any, batch: tuple[Any, ...]) -> None:
    """Make every variable of the model, its metrics and its optimizer, without a step."""
    if not all(layer.built for layer in model._flatten_layers()):  # noqa: SLF001
        model(batch[0])
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def seed_state() -> Any:
    """The variable behind Keras' global seed generator, which layers and ops without a seed of their own draw from."""
    return global_seed_generator().state


def averaged_weights(optimizer: Any, variables: list[Any]) -> list[Any] | None:
    """ScheduleFreeAdamW's averaged weights, which are what it means to be evaluated at; None before its first step.

    It trains at y = (1 - beta_1) z + beta_1 x and keeps y and z: hence x (Defazio 2024, equation 1).
    """
    if not optimizer.built:
        return None
    pairs = zip(variables, optimizer._momentums, strict=True)  # noqa: SLF001
    return [(y - (1 - optimizer.beta_1) * z) / optimizer.beta_1 for y, z in pairs]


def known_direction(metric: Any) -> str | None:
    """Which way a Keras metric improves, where Keras knows: "up" or "down"."""
    found = getattr(metric, "_direction", None)
    return found if found in {"up", "down"} else None
