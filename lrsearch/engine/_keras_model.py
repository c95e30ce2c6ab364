"""A Keras model: its class, its compile, its variables, its steps and its logs.

Private names of Keras, read in 3.15.1; the oldest version that is tested is 3.13.2.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.trainer import Trainer

from lrsearch.engine._keras_optimizer import inner
from lrsearch.engine.types import Batch, Metric, Model, Optimizer, Structure, Tensor
from lrsearch.values import Direction

_STEP_METHODS = ("train_step", "test_step", "compute_loss", "compute_metrics")

# -- its class -------------------------------------------------------------------------


def has_own(model: Model, method: str) -> bool:
    """Whether the model's class has a method of its own in place of Keras'."""
    return getattr(type(model), method) is not getattr(keras.Model, method)


def own_loop(model: Model) -> str:
    """Find the first method of Keras' training loop that the model's class replaces, or empty.

    Only the engine `fit` calls these methods.
    """
    methods = ("fit", "evaluate", "make_train_function", "make_test_function")
    return next((each for each in methods if has_own(model, each)), "")


def strategy_of(model: Model) -> Any | None:
    """The tf.distribute strategy that the model was built under, or None."""
    return getattr(model, "_distribute_strategy", None)


def scope_of(model: Model) -> Any:
    """The scope to make the model's variables in: its strategy's, or one without effect."""
    strategy = strategy_of(model)
    return nullcontext() if strategy is None else strategy.scope()


def unsupported_strategy(model: Model) -> str:
    """Name the class that distributes the model where lrsearch cannot train under it, or empty."""
    distribution = keras.distribution.distribution() or strategy_of(model)
    kind = type(distribution)
    return "" if kind in {type(None), tf.distribute.MirroredStrategy} else kind.__name__


# -- its compile -----------------------------------------------------------------------


@contextmanager
def note_auto_jit() -> Iterator[None]:
    """Let models note, within, whether their compile leaves jit_compile to Keras.

    Keras' own record keeps only what Keras chose.
    """
    own = Trainer.compile
    signature = inspect.signature(own)

    def compile_and_note(model: Model, *positional: Any, **options: Any) -> None:
        arguments = signature.bind(model, *positional, **options).arguments
        model.lrsearch_auto_jit = arguments.get("jit_compile", "auto") == "auto"
        own(model, *positional, **options)

    Trainer.compile = compile_and_note
    try:
        yield
    finally:
        Trainer.compile = own


def trains_under_jit(model: Model) -> bool:
    """Whether `fit` would compile with XLA: by the user's choice, or by Keras' on a GPU."""
    return dict(model._compile_config.config).get("jit_compile") is True


def asked_for_jit(model: Model) -> bool:
    """Whether the user's own compile says jit_compile=True.

    The model was made within `note_auto_jit`.
    """
    return trains_under_jit(model) and not getattr(model, "lrsearch_auto_jit", False)


def compile_again(model: Model, optimizer: Optimizer) -> None:
    """Compile with another optimizer, since `save` writes the arguments of the last compile."""
    model.compile(**{**dict(model._compile_config.config), "optimizer": optimizer})


def loss_weights_of(model: Model) -> list[float]:
    """The weights of the losses, as they were compiled; empty where none were given."""
    given = dict(model._compile_config.config).get("loss_weights")
    return [float(each) for each in keras.tree.flatten(given or []) if each is not None]


def output_names(model: Model) -> list[str]:
    """List the outputs' names, with which the names of their metrics begin in an epoch's logs."""
    compiled = (
        getattr(model, each, None) for each in ("_compile_metrics", "_compile_loss")
    )
    lists = [getattr(each, "output_names", None) for each in (model, *compiled)]
    return [str(name) for names in lists for name in names or ()]


def known_direction(metric: Metric) -> Direction | None:
    """Which way a metric improves, where Keras knows."""
    known: dict[Any, Direction] = {"up": Direction.MAXIMIZE, "down": Direction.MINIMIZE}
    return known.get(getattr(metric, "_direction", None))


def skip_all_reduce(model: Model) -> None:
    """Skip the optimizer's all-reduce without a strategy: with one replica it is the identity.

    TensorFlow's reduction registers a gradient function in every trace. TensorFlow
    keeps that function for ever, with the trace and its model: 3.5 MiB a trial of the
    smallest model (2.21).
    """
    if strategy_of(model) is None:
        inner(model.optimizer)._all_reduce_sum_gradients = list


# -- its variables ---------------------------------------------------------------------


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


def build_for_fit(model: Model, batch: Batch) -> None:
    """Make every variable of Keras' own training step, which `fit` then traces once.

    A step that makes variables itself is traced twice: TensorFlow finds them first.
    Steps of the user's own and layers that are not built yet are left to `fit`. So are
    errors: where they are real, `fit` tells them from the user's own code.
    """
    own = any(has_own(model, each) for each in _STEP_METHODS)
    if own or model.run_eagerly or strategy_of(model) or not is_built(model):
        return
    with suppress(Exception):
        model._symbolic_build(data_batch=batch)


# -- its steps and logs ----------------------------------------------------------------


def unwrap_optionals(model: Model, step: Any) -> Any:
    """Let `step` get None where a batch of a stream has an empty Optional."""
    return model._autoconvert_optionals(step)


def tracks_each_loss(model: Model) -> bool:
    """Whether each of several outputs has a mean of its loss.

    Keras weights that mean by the batch's size where the size is static.
    """
    return bool(getattr(model._compile_loss, "metrics", ()))


def measure_batch(model: Model, batch: Batch, *, training: bool) -> Tensor:
    """Return a batch's loss and update the metrics, as Keras' own train_step and test_step do."""
    x, y, weight = (*batch, None, None)[:3]
    outputs = call_model(model, x, training=training)
    return measure_outputs(model, (x, y, weight), outputs, training=training)


def call_model(model: Model, x: Structure, *, training: bool) -> Structure:
    """A batch's outputs."""
    options = {"training": training} if model._call_has_training_arg else {}
    return model(x, **options)


def have_masks(outputs: Structure) -> bool:
    """Whether a mask goes with some output, to the loss and the metrics."""
    return any(
        getattr(each, "_keras_mask", None) is not None
        for each in keras.tree.flatten(outputs)
    )


def measure_outputs(
    model: Model, batch: Batch, outputs: Structure, *, training: bool
) -> Tensor:
    """Do what `measure_batch` does after the model's call; batch: (x, y, weight)."""
    x, y, weight = batch
    loss = model._compute_loss(
        x=x, y=y, y_pred=outputs, sample_weight=weight, training=training
    )
    count = tf.shape(next(each for each in keras.tree.flatten(x) if each is not None))[
        0
    ]
    model._loss_tracker.update_state(loss, sample_weight=count)
    model.compute_metrics(x, y, outputs, sample_weight=weight)
    return loss


def running_loss(model: Model) -> Tensor:
    """The mean of the loss over the batches since the metrics were reset."""
    return model._loss_tracker.result()


def computes_in_half(model: Model) -> bool:
    """Whether some layer computes in a type of 16 bits."""
    return any("16" in str(layer.compute_dtype) for layer in model._flatten_layers())


def mean_metrics(model: Model) -> list[Metric]:
    """The metrics that are a plain mean: a total by a count; the losses' own are among them."""
    leaves = [
        each
        for metric in model.metrics
        for each in (metric, *getattr(metric, "metrics", ()))
    ]
    mean = keras.metrics.Mean
    plain = [
        each
        for each in leaves
        if isinstance(each, mean) and type(each).result is mean.result
    ]
    return list({id(each): each for each in plain}.values())


def set_last_logs(model: Model, logs: Mapping[str, float]) -> None:
    """Give `fit` the logs of a checkpoint, for an epoch that has no steps left to log."""
    own = model._get_metrics_result_or_logs
    model._get_metrics_result_or_logs = lambda latest: own(latest or dict(logs))


def metrics_of(model: Model) -> dict[str, Tensor]:
    """Read the metrics as `fit` logs them: a metric of several results has several names."""
    return _flatten(model.get_metrics_result())


def _flatten(results: Mapping[str, Any]) -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for name, value in results.items():
        flat |= _flatten(value) if isinstance(value, Mapping) else {name: value}
    return flat
