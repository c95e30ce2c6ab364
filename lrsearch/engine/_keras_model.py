"""A Keras model: what its class and its compile say, and how its variables are made.

Private names of Keras, read in 3.15.1; the oldest version that is tested is 3.13.2.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.trainer import Trainer

from lrsearch.engine.types import Batch, Metric, Model, Optimizer, Tensor

# -- what the class says --------------------------------------------------------------------------


def overrides_compile(model: Model) -> bool:
    """Whether the model's class has a `compile` of its own."""
    return type(model).compile is not Trainer.compile


def has_own(model: Model, method: str) -> bool:
    """Whether the model's class has a method of its own in place of Keras'."""
    return getattr(type(model), method) is not getattr(keras.Model, method)


def own_loop(model: Model) -> str:
    """The first part of Keras' training loop that the model's class replaces, or empty.

    Only `fit` would call it.
    """
    parts = ("fit", "evaluate", "make_train_function", "make_test_function")
    return next((each for each in parts if has_own(model, each)), "")


def strategy_of(model: Model) -> Any | None:
    """The tf.distribute strategy that the model was built under, or None."""
    return getattr(model, "_distribute_strategy", None)


def scope_of(model: Model) -> Any:
    """The scope to make the model's variables in: its strategy's, or one without effect."""
    strategy = strategy_of(model)
    return nullcontext() if strategy is None else strategy.scope()


def unsupported_strategy(model: Model) -> str:
    """The class of what distributes the model where lrsearch cannot train under it, or empty."""
    strategy = strategy_of(model)
    if (distribution := keras.distribution.distribution()) is not None:
        return type(distribution).__name__
    known = strategy is None or type(strategy) is tf.distribute.MirroredStrategy
    return "" if known else type(strategy).__name__


# -- what compile was given -----------------------------------------------------------------------


@contextmanager
def noting_auto_jit() -> Iterator[None]:
    """Let models note, within, whether their compile leaves jit_compile to Keras.

    Keras' own record keeps only what came of it.
    """
    own = Trainer.compile
    signature = inspect.signature(own)

    def noted(model: Model, *given: Any, **named: Any) -> None:
        arguments = signature.bind(model, *given, **named).arguments
        model.lrsearch_auto_jit = arguments.get("jit_compile", "auto") == "auto"
        own(model, *given, **named)

    Trainer.compile = noted
    try:
        yield
    finally:
        Trainer.compile = own


def trains_under_jit(model: Model) -> bool:
    """Whether `fit` would compile with XLA: as the user asked, or as Keras chooses on a GPU."""
    return dict(model._compile_config.config).get("jit_compile") is True


def asked_for_jit(model: Model) -> bool:
    """Whether the user's own compile says jit_compile=True.

    The model was made within `noting_auto_jit`.
    """
    return trains_under_jit(model) and not getattr(model, "lrsearch_auto_jit", False)


def compile_again(model: Model, optimizer: Optimizer) -> None:
    """Compile with the same arguments but another optimizer: `save` writes compile's arguments."""
    model.compile(**{**dict(model._compile_config.config), "optimizer": optimizer})


def output_names(model: Model) -> list[str]:
    """The outputs' names, which stand before the names of their metrics in an epoch's logs."""
    compiled = (getattr(model, each, None) for each in ("_compile_metrics", "_compile_loss"))
    named = [getattr(each, "output_names", None) for each in (model, *compiled)]
    return [str(name) for names in named for name in names or ()]


def known_direction(metric: Metric) -> str | None:
    """Which way a metric improves, where Keras knows: "up" or "down"."""
    found = getattr(metric, "_direction", None)
    return found if found in {"up", "down"} else None


# -- variables ------------------------------------------------------------------------------------


def is_built(model: Model) -> bool:
    """Whether every variable of the model's layers is there."""
    return all(layer.built for layer in model._flatten_layers())


def build_layers(model: Model, batch: Batch) -> None:
    """Make every variable of the model's layers; the batch shapes them."""
    if not is_built(model):
        model(keras.utils.unpack_x_y_sample_weight(batch)[0])


def build_fully(model: Model, batch: Batch) -> None:
    """Make every variable of the model and its optimizer, without a step."""
    with scope_of(model):
        build_layers(model, batch)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)


# -- steps ----------------------------------------------------------------------------------------


def without_optionals(model: Model, step: Any) -> Any:
    """`step`, given None where a batch of a stream has an empty Optional."""
    return model._autoconvert_optionals(step)


def tracks_each_loss(model: Model) -> bool:
    """Whether each of several outputs has a mean of its loss.

    Keras weights that mean by the batch's size where the size is static.
    """
    return bool(getattr(model._compile_loss, "metrics", ()))


def measure_batch(model: Model, batch: Batch, *, training: bool) -> Tensor:
    """The loss of a batch, noted in the metrics, as Keras' own train_step and test_step do it."""
    x, y, weight = (*batch, None, None)[:3]
    told = {"training": training} if model._call_has_training_arg else {}
    outputs = model(x, **told)
    loss = model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight, training=training)
    count = tf.shape(next(each for each in keras.tree.flatten(x) if each is not None))[0]
    model._loss_tracker.update_state(loss, sample_weight=count)
    model.compute_metrics(x, y, outputs, sample_weight=weight)
    return loss


def running_loss(model: Model) -> Tensor:
    """The mean of the loss over the batches since the metrics were reset."""
    return model._loss_tracker.result()


def set_last_logs(model: Model, logs: Mapping[str, float]) -> None:
    """Tell `fit` what its steps logged last.

    In an epoch whose steps are all done `fit` would log none of that.
    """
    own = model._get_metrics_result_or_logs
    model._get_metrics_result_or_logs = lambda found: own(found or dict(logs))


def metrics_of(model: Model) -> dict[str, Tensor]:
    """The metrics' results as `fit` logs them: a metric of several results gives several names."""
    return _flat(model.get_metrics_result())


def _flat(results: Mapping[str, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in results.items():
        found |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return found
