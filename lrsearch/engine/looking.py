"""The first look at a study: one real training step, one validation step, and the user's callbacks.

Runs before there is a trial, so that what would fail or go astray in every trial is found once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from lrsearch.errors import InvalidValue

LOOK_RATE = 0.0123  # a rate that no callback would set by itself
_MOST_EPOCHS = 1000  # that a callback which names the rate is asked about
_RATE_NAMES = frozenset({"learning_rate", "_learning_rate", "lr"})


@dataclass(frozen=True, kw_only=True)
class Step:
    """What an epoch logs, by a first step: `logs` are numbers, `others` are not."""

    logs: Mapping[str, float]
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def first_step(model: Any, loaded: LoadedStudy, batch_size: int | None) -> Step:
    """Train one step and validate one.

    Raises InvalidValue where the data holds NaN and the loss does not cope with it.
    """
    data = loaded.data(batch_size)
    # compiling for one step would take longer than it
    model.jit_compile = model.jit_compile and asked_for_jit(model)
    # Tracing Keras' own step takes 0.4 s with the smallest model, and shows no more than running
    # the step's operations one by one does.
    traced = has_own(model, "train_step") or strategy_of(model)
    model.run_eagerly = model.run_eagerly or not traced
    few, weights = _few_rows(data.validation, batch_size), loaded.definition.class_weight
    with _whole_tracebacks():
        history = model.fit(
            _first_batches(data.train, batch_size),
            validation_data=few.for_keras() if isinstance(few, Arrays) else few.source,
            validation_batch_size=batch_size,
            validation_steps=1,
            epochs=1,
            steps_per_epoch=1,
            class_weight=dict(weights) if weights else None,
            shuffle=False,
            verbose=0,
        ).history
        logs = {name: values[-1] for name, values in history.items()}
        found = numbers_of(logs)
        notes = [
            _check_gaps(data.train, copes=_healthy(model, found.get("loss"))),
            _check_gaps(data.validation, copes=_finite(found.get("val_loss"))),
            _check_gaps(data.test, copes=_tests(model, data.test, batch_size)),
        ]
    others = tuple(sorted(set(logs) - set(found)))
    return Step(logs=found, others=others, notes=tuple(filter(None, notes)))


def _first_batches(split: Split, batch_size: int | None) -> Any:
    few = _few_rows(split, batch_size)
    if not isinstance(few, Arrays):
        return few.source
    return training_stream(
        few, batch_size=batch_size, seed=0, first_epoch=0, epochs=1, shuffle=False
    )


def _few_rows(split: Split, batch_size: int | None) -> Split:
    """A batch of a split; half of it rows that hold NaN or infinity, where there are such."""
    if not isinstance(split, Arrays):
        return split
    size = min(batch_size or DEFAULT_BATCH, split.examples)
    bad = np.unique(np.concatenate([*split.bad.values(), np.zeros(0, np.int64)])).astype(np.int64)
    good = np.setdiff1d(np.arange(split.examples), bad)
    chosen = np.concatenate([bad[: max(1, size // 2)], good, bad[max(1, size // 2) :]])[:size]
    return split.rows(np.sort(chosen))


def _healthy(model: Any, loss: float | None) -> bool:
    """Whether a step left a finite loss and finite weights: gradients alone may be NaN."""
    weights = (ops.convert_to_numpy(each) for each in model.trainable_variables)
    return _finite(loss) and all(np.isfinite(each).all() for each in weights)


def _finite(loss: float | None) -> bool:
    return loss is None or bool(np.isfinite(loss))


def _tests(model: Any, split: Split | None, batch_size: int | None) -> bool:
    """Whether the loss copes with the gaps of the test split."""
    if not isinstance(split, Arrays) or not split.bad:
        return True
    few = _few_rows(split, batch_size)
    assert isinstance(few, Arrays)
    x, y, weight = (*few.for_keras(), None, None)[:3]
    found = model.evaluate(
        x, y, sample_weight=weight, batch_size=batch_size, verbose=0, return_dict=True
    )
    return _finite(numbers_of(found).get("loss"))


def _check_gaps(split: Split | None, *, copes: bool) -> str:
    """A note on a split's NaN and infinities where the model copes with them.

    Raises InvalidValue where it does not.
    """
    if not isinstance(split, Arrays) or not split.bad:
        return ""
    label, rows = next(iter(split.bad.items()))
    if copes:
        return f"{label} holds NaN or infinity in {len(rows)} rows; the loss is finite all the same"
    got = f"NaN or infinity in {len(rows)} of its rows, the first at row {int(rows[0])}"
    fix = "Clean the data, or leave such entries out in the loss."
    raise InvalidValue(label, got=got, allowed="finite", fix=fix)


@contextmanager
def _whole_tracebacks() -> Iterator[None]:
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        keras.config.enable_traceback_filtering()


# -- callbacks ------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Called:
    """What the user's own callbacks did when they were called without training."""

    rate_callbacks: list[str] = field(default_factory=list)  # by `placed_name`
    logs: dict[str, Any] = field(default_factory=dict)  # an epoch's, with what they put there
    kept: tuple[str, ...] = ()  # classes of those that searched trials keep
    notes: tuple[str, ...] = ()  # what is taken out of searched trials, and why


def call_callbacks(
    model: Any, callbacks: Sequence[Any], logs: Mapping[str, float], *, epochs: int, steps: int
) -> Called:
    """Call the user's own callbacks on a model whose optimizer has a variable rate of LOOK_RATE.

    Each is asked about epoch 0, and one that names the rate in its code about every epoch. What
    fails here is left to trials, which tell it better: there is no training around it.
    """
    found = Called(logs=dict(logs))
    for place, callback in enumerate(callbacks):
        if not _is_users(callback):
            continue
        callback.set_params({"epochs": epochs, "steps": steps, "verbose": 0})
        callback.set_model(model)
        asked = range(min(epochs, _MOST_EPOCHS) if _names_rate(callback) else 1)
        try:
            sets_rate = any(_sets_rate(model, hook) for hook in _hooks(callback, asked, found.logs))
        except (Exception, SystemExit):  # noqa: BLE001, S112 - the user's code may raise anything
            continue
        found.rate_callbacks += [placed_name(place, callback)] if sets_rate else []
    return found


def _hooks(callback: Any, epochs: range, logs: dict[str, Any]) -> Iterator[Any]:
    """Calls as `fit` would make them; the first epoch's end may add to the `logs` themselves."""
    yield lambda: callback.on_train_begin({})
    for epoch in epochs:
        given = logs if epoch == 0 else dict(logs)
        yield lambda epoch=epoch: callback.on_epoch_begin(epoch, {})
        if epoch == 0:
            yield lambda: callback.on_train_batch_begin(0, {})
            yield lambda given=given: callback.on_train_batch_end(0, dict(given))
        yield lambda epoch=epoch, given=given: callback.on_epoch_end(epoch, given)


def _sets_rate(model: Any, hook: Any) -> bool:
    """Call a hook; whether it changed the optimizer's rate, which is then put back."""
    optimizer = inner(model.optimizer)
    variable = rate_of(optimizer)
    hook()
    kept = rate_of(optimizer) is variable
    if kept and np.isclose(current_rate(optimizer), LOOK_RATE, rtol=1e-6, atol=0.0):
        return False
    put_rate_back(optimizer, variable, LOOK_RATE)
    return True


def _is_users(callback: Any) -> bool:
    """Whether the callback's code is the user's: Keras' own set no rate that is not known."""
    home = type(callback).__module__
    return isinstance(callback, keras.callbacks.LambdaCallback) or not home.startswith("keras.")


def _names_rate(callback: Any) -> bool:
    """Whether the code of a callback, its helpers included, names the learning rate."""
    owners = (callback, *type(callback).__mro__[:-1])
    held = (getattr(each, "__func__", each) for owner in owners for each in vars(owner).values())
    codes = (getattr(each, "__code__", None) for each in held)
    return any(code is not None and not _RATE_NAMES.isdisjoint(code.co_names) for code in codes)
