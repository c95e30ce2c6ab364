"""What every engine begins an attempt with: a model with start values, callbacks, a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lrsearch.engine._keras_state import draws_of_tensorflow, set_seeds
from lrsearch.engine.attempt import Attempt, Plan
from lrsearch.engine.callbacks import kept_of, users_callbacks
from lrsearch.engine.compiling import (
    accumulation_of,
    fresh_model,
    seeded_model,
    set_searched,
)
from lrsearch.engine.data import order_of
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.resuming import notes_of
from lrsearch.engine.types import Callback, Model
from lrsearch.space import OPTIMIZERS, rate, rates
from lrsearch.values import Json, Setting, Snapshot, TrialSpec

_FED_RATE = 1e-3  # in the rate's variable until a table's rates take its place


def start_model(loaded: LoadedStudy, spec: TrialSpec, *, kernels: bool) -> Model:
    """A fresh model with its start values under the trial's seed."""
    return seeded_model(
        loaded.definition,
        spec.setting.extra,
        spec.seed,
        kernels=kernels,
        fixed_seeds=loaded.findings.fixed_seeds,
    )


def kept_model(
    loaded: LoadedStudy, seed: int, extra: Mapping[str, Json]
) -> tuple[Model, bool]:
    """A model to keep for many trials, and whether it draws start values from tf.random.

    The kernels that draw have to begin anew with every trial.
    """
    set_seeds(seed, kernels=False)
    before = draws_of_tensorflow()
    model = fresh_model(loaded.definition, extra)
    return model, before != draws_of_tensorflow()


def set_optimizer(
    loaded: LoadedStudy, model: Model, setting: Setting, *, feeds: bool, fold: int = 0
) -> None:
    """Give a model the setting's optimizer.

    Its rate follows the schedule over the fold's updates; with `feeds`, it will be set
    from a table.
    """
    accumulation = accumulation_of(model, loaded.definition)
    set_searched(
        model,
        setting,
        total_steps=loaded.total_steps(setting.batch_size, accumulation, fold),
        accumulation=accumulation,
        learning_rate=_FED_RATE if feeds else None,
    )


def keep_callbacks(loaded: LoadedStudy, attempt: Attempt) -> list[Callback]:
    """The user's callbacks that this attempt is trained with; notes what was taken out."""
    spec = attempt.spec
    kept, notes = kept_of(
        users_callbacks(loaded, spec),
        yours=spec.yours,
        folder=spec.folder,
        resumed=spec.resume is not None,
        averaged=uses_averaged(spec),
        setting_rates=loaded.findings.rate_callbacks,
    )
    train = loaded.data_of(spec).train
    attempt.note(*notes, *notes_of(spec.resume, train, kept))
    return kept


def make_plan(
    loaded: LoadedStudy,
    spec: TrialSpec,
    *,
    accumulation: int,
    fill: Callable[[Snapshot], Snapshot],
    rate_of: Callable[[int], float] | None = None,
    **engine: Any,
) -> Plan:
    """The plan of an attempt; its rates are the setting's unless `rate_of` gives others."""
    definition, batch = loaded.definition, spec.setting.batch_size
    total = loaded.total_steps(batch, accumulation, spec.fold)
    return Plan(
        objective=definition.objective,
        direction=loaded.direction,
        best_epoch_counts=definition.objective_epoch == "best",
        epochs=definition.epochs,
        steps_per_epoch=loaded.steps_per_epoch(batch, spec.fold),
        accumulation=accumulation,
        total_steps=total,
        rate=rate_of or (lambda step: rate(spec.setting, step, total)),
        planned=None if spec.yours else rates(spec.setting, total),
        fill=fill,
        **engine,
    )


def order_examples(
    loaded: LoadedStudy, spec: TrialSpec, epoch: int, examples: int
) -> np.ndarray:
    """An epoch's examples in the trial's order: (examples,), int64, places in the arrays."""
    return order_of(spec.seed, epoch, examples, shuffle=loaded.definition.shuffle)


def uses_averaged(spec: TrialSpec) -> bool:
    """Whether the searched optimizer is evaluated at averaged weights."""
    name = spec.setting.optimizer
    return not spec.yours and name in OPTIMIZERS and OPTIMIZERS[name].averaged
