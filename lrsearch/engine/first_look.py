"""The first look at a study: one real training step, one validation step, and the user's callbacks.

It runs before there is a trial, so that what would fail in every trial is found once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from lrsearch.engine._keras_model import asked_for_jit, has_own, strategy_of
from lrsearch.engine._keras_optimizer import current_rate, inner, put_rate_back, rate_of
from lrsearch.engine.attempt import numbers_of
from lrsearch.engine.callbacks import placed_name
from lrsearch.engine.data import DEFAULT_BATCH, Arrays, Split, training_stream
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.types import Callback, Dataset, Model
from lrsearch.errors import InvalidValue

LOOK_RATE = 0.0123  # a rate that no callback would set by itself
_MOST_EPOCHS = 1000  # for which a callback is called that names the rate
_RATE_NAMES = frozenset({"learning_rate", "_learning_rate", "lr"})


@dataclass(frozen=True, kw_only=True)
class StepLook:
    """What an epoch logs, by a first step: `logs` are numbers, `others` are not."""

    logs: Mapping[str, float]
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    gpu_bytes: int = 0  # that the model and the step took; 0 on a CPU


def train_step(model: Model, loaded: LoadedStudy) -> StepLook:
    """Train one step and validate one.

    Raises InvalidValue where the data holds NaN and the loss does not cope with NaN.
    """
    batch_size, data = loaded.first_size, loaded.first_data
    # Compiling for one step would take longer than the step.
    model.jit_compile = model.jit_compile and asked_for_jit(model)
    # Tracing Keras' own step takes 0.4 s with the smallest model, and shows no more
    # than running the step's operations one by one does.
    traced = has_own(model, "train_step") or strategy_of(model)
    model.run_eagerly = model.run_eagerly or not traced
    few = _few_rows(data.validation, batch_size)
    keras.config.disable_traceback_filtering()
    try:
        history = model.fit(
            _first_batches(data.train, batch_size),
            validation_data=few.for_keras() if isinstance(few, Arrays) else few.source,
            validation_batch_size=batch_size,
            validation_steps=1,
            epochs=1,
            steps_per_epoch=1,
            class_weight=loaded.class_weight,
            shuffle=False,
            verbose=0,
        ).history
        logs = {name: values[-1] for name, values in history.items()}
        numbers = numbers_of(logs)
        notes = [
            _check_gaps(data.train, copes=_is_healthy(model, numbers.get("loss"))),
            _check_gaps(data.validation, copes=_is_finite(numbers.get("val_loss"))),
            _check_gaps(data.test, copes=_can_evaluate(model, data.test, batch_size)),
        ]
    finally:
        keras.config.enable_traceback_filtering()
    others = tuple(sorted(set(logs) - set(numbers)))
    return StepLook(logs=numbers, others=others, notes=tuple(filter(None, notes)))


def _first_batches(split: Split, batch_size: int | None) -> Dataset:
    few = _few_rows(split, batch_size)
    if not isinstance(few, Arrays):
        return few.source
    return training_stream(
        few, batch_size=batch_size, seed=0, first_epoch=0, epochs=1, shuffle=False
    )


def _few_rows(split: Split, batch_size: int | None) -> Split:
    """Choose a batch of a split, half of it rows that hold NaN or infinity where there are some."""
    if not isinstance(split, Arrays):
        return split
    size = min(batch_size or DEFAULT_BATCH, split.examples)
    bad = np.unique(np.concatenate([np.zeros(0, np.int64), *split.bad.values()]))
    good = np.setdiff1d(np.arange(split.examples), bad)
    half = max(1, size // 2)
    chosen = np.concatenate([bad[:half], good, bad[half:]])[:size]
    return split.rows(np.sort(chosen))


def _is_healthy(model: Model, loss: float | None) -> bool:
    """Whether a step left a finite loss and finite weights: gradients alone may be NaN."""
    weights = (ops.convert_to_numpy(each) for each in model.trainable_variables)
    return _is_finite(loss) and all(np.isfinite(each).all() for each in weights)


def _is_finite(loss: float | None) -> bool:
    return loss is None or bool(np.isfinite(loss))


def _can_evaluate(model: Model, split: Split | None, batch_size: int | None) -> bool:
    """Whether the loss copes with the gaps of the test split."""
    if not isinstance(split, Arrays) or not split.bad:
        return True
    few = _few_rows(split, batch_size)
    assert isinstance(few, Arrays)
    x, y, weight = (*few.for_keras(), None, None)[:3]
    logs = model.evaluate(
        x, y, sample_weight=weight, batch_size=batch_size, verbose=0, return_dict=True
    )
    return _is_finite(numbers_of(logs).get("loss"))


def _check_gaps(split: Split | None, *, copes: bool) -> str:
    """Note a split's NaN and infinities where the model copes with them.

    Raises InvalidValue where the model does not.
    """
    if not isinstance(split, Arrays) or not split.bad:
        return ""
    label, rows = next(iter(split.bad.items()))
    if copes:
        return f"{label} holds NaN or infinity in {len(rows)} rows; the loss is finite all the same"
    got = f"NaN or infinity in {len(rows)} of its rows, the first at row {int(rows[0])}"
    fix = "Clean the data, or leave such entries out in the loss."
    raise InvalidValue(label, got=got, allowed="finite", fix=fix)


# -- callbacks -------------------------------------------------------------------------

_Hook = Callable[[], Any]


@dataclass(kw_only=True)
class CallbackLook:
    """What the user's own callbacks did when they were called without training."""

    rate_callbacks: list[str] = field(default_factory=list)  # by `placed_name`
    # an epoch's, with what callbacks add
    logs: dict[str, Any] = field(default_factory=dict)
    kept: tuple[str, ...] = ()  # classes of those that searched trials keep
    notes: tuple[str, ...] = ()  # what is taken out of searched trials, and why


def try_callbacks(
    model: Model,
    callbacks: Sequence[Callback],
    logs: Mapping[str, float],
    *,
    epochs: int,
    steps: int,
) -> CallbackLook:
    """Call the user's own callbacks on a model whose optimizer has a variable rate of LOOK_RATE.

    Each is called for epoch 0, and one that names the rate in its code for every epoch.
    What fails here fails again in trials, where the message is better: there is no
    training around it here.
    """
    look = CallbackLook(logs=dict(logs))
    for place, callback in enumerate(callbacks):
        if not _is_users(callback):
            continue
        callback.set_params({"epochs": epochs, "steps": steps, "verbose": 0})
        callback.set_model(model)
        called = range(min(epochs, _MOST_EPOCHS) if _names_rate(callback) else 1)
        try:
            sets_rate = any(
                _sets_rate(model, hook) for hook in _hooks(callback, called, look.logs)
            )
        except (Exception, SystemExit):  # noqa: BLE001, S112 - the user's code may raise anything
            continue
        if sets_rate:
            look.rate_callbacks.append(placed_name(place, callback))
    return look


def _hooks(callback: Callback, epochs: range, logs: dict[str, Any]) -> Iterator[_Hook]:
    """Yield calls as `fit` would make them; the first epoch's end may add to the `logs` itself."""
    yield partial(callback.on_train_begin, {})
    for epoch in epochs:
        shown = logs if epoch == 0 else dict(logs)
        yield partial(callback.on_epoch_begin, epoch, {})
        if epoch == 0:
            yield partial(callback.on_train_batch_begin, 0, {})
            yield partial(callback.on_train_batch_end, 0, dict(logs))
        yield partial(callback.on_epoch_end, epoch, shown)


def _sets_rate(model: Model, hook: _Hook) -> bool:
    """Call a hook; whether it changed the optimizer's rate, which is then put back."""
    optimizer = inner(model.optimizer)
    variable = rate_of(optimizer)
    hook()
    kept = rate_of(optimizer) is variable
    if kept and np.isclose(current_rate(optimizer), LOOK_RATE, rtol=1e-6, atol=0.0):
        return False
    put_rate_back(optimizer, variable, LOOK_RATE)
    return True


def _is_users(callback: Callback) -> bool:
    """Whether the callback's code is the user's: it is known which of Keras' own set the rate."""
    home = type(callback).__module__
    return isinstance(callback, keras.callbacks.LambdaCallback) or not home.startswith(
        "keras."
    )


def _names_rate(callback: Callback) -> bool:
    """Whether the code of a callback, its helpers included, names the learning rate."""
    owners = (callback, *type(callback).__mro__[:-1])
    members = (
        getattr(each, "__func__", each)
        for owner in owners
        for each in vars(owner).values()
    )
    codes = (getattr(each, "__code__", None) for each in members)
    return any(
        code is not None and not _RATE_NAMES.isdisjoint(code.co_names) for code in codes
    )
