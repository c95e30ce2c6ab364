"""The engine `fit`: one trial after another through Keras' own `model.fit`.

It trains any model that Keras trains.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from typing import final

from lrsearch.engine._keras_data import intercept_epoch_iterator
from lrsearch.engine._keras_model import build_for_fit, build_fully, set_last_logs
from lrsearch.engine._keras_state import clear_session
from lrsearch.engine.attempt import Attempt, Stop
from lrsearch.engine.attempt_start import (
    keep_callbacks,
    set_optimizer,
    start_model,
    uses_averaged,
)
from lrsearch.engine.blame import PASSING, Observer, train_each
from lrsearch.engine.callbacks import calls_begin
from lrsearch.engine.contract import Engine
from lrsearch.engine.data import Arrays, epoch_stream, sample_batch
from lrsearch.engine.failure import fail_attempt
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.shared import shared_layers
from lrsearch.engine.snapshot import restore_snapshot
from lrsearch.engine.training import KerasTraining, keras_data
from lrsearch.engine.types import Callback, Dataset, Model
from lrsearch.values import Outcome, Save, Source, TrialSpec, Watch


@final
class FitEngine(Engine):
    """See the module."""

    name = "fit"

    def __init__(
        self,
        loaded: LoadedStudy,
        *,
        keep: Callable[[KerasTraining], None] | None = None,
    ) -> None:
        """`keep` is called with every training that came to its end, while its model is there."""
        self.loaded, self._keep = loaded, keep

    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, one after another."""
        return train_each(self.train_one, source, watch, save)

    def train_one(
        self, spec: TrialSpec, observer: Observer, *, notes: tuple[str, ...] = ()
    ) -> Outcome:
        """Train one attempt; `notes` go with its outcome."""
        attempt = Attempt(spec, engine=self.name, observer=observer, notes=notes)
        training = KerasTraining(self.loaded, attempt)
        try:
            _train(training)
            outcome = training.complete()
        except Stop as stop:
            return attempt.conclude(stop.status, stop.reason)
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything, and must not end the worker
            return fail_attempt(attempt, error)
        else:
            if self._keep is not None:
                self._keep(training)
            return outcome
        finally:
            del training, attempt
            calls_begin(self.loaded, spec)
            shared_layers(self.loaded.definition.build_model).restore()
            clear_session()  # or every trial's graph stays for ever (keras-tuner #1031)
            gc.collect()


def _train(training: KerasTraining) -> None:
    """Build the model, compile it, call its `fit`."""
    loaded = training.loaded
    training.rows.open()
    training.begin(_compiled_model(training))
    try:
        users = keep_callbacks(loaded, training.attempt)
        if not users:
            _build(training)
        callbacks = training.callbacks(users)
        calls_begin(loaded, training.spec)
        _fit(training, callbacks)
    finally:
        training.keeper.close()


def _compiled_model(training: KerasTraining) -> Model:
    """A compiled model: fresh, or with the checkpoint's state."""
    loaded, spec = training.loaded, training.spec
    model = start_model(loaded, spec, kernels=True)
    setting, resume = spec.setting, spec.resume
    if not spec.yours:
        set_optimizer(loaded, model, setting, feeds=False, fold=spec.fold)
    sample = partial(sample_batch, training.data.train, setting.batch_size)
    # Built inside fit's graph, ScheduleFreeAdamW would begin at zeros
    # (docs/decisions.md).
    if uses_averaged(spec):
        build_fully(model, sample())
    if resume is not None:
        restore_snapshot(model, resume, sample())
        if resume.batch:
            # `graph` stops between the batches of an execution, and a stream that goes
            # on within an epoch is not a stream of one epoch.
            model.steps_per_execution = 1
            set_last_logs(model, resume.meta["logs"])
    return model


def _build(training: KerasTraining) -> None:
    """Make the variables of the training step, so that `fit` traces the step once.

    Left to `fit` for a dataset, whose first batch would begin the dataset once more,
    and beside callbacks, which may choose what is trained before the first step.
    """
    split, setting = training.data.train, training.spec.setting
    if isinstance(split, Arrays):
        build_for_fit(training.model, sample_batch(split, setting.batch_size))


def _fit(training: KerasTraining, callbacks: list[Callback]) -> None:
    model, spec, data = training.model, training.spec, training.data
    definition, batch = training.loaded.definition, spec.setting.batch_size
    steps = training.loaded.steps_per_epoch(batch, spec.fold)
    # An execution takes several steps from its stream without a look at the epoch: an
    # epoch that ends within an execution needs a stream of its own.
    by_epoch = isinstance(data.train, Arrays) and model.steps_per_execution > 1
    validation, validation_batch = keras_data(data.validation, batch)
    with intercept_epoch_iterator(
        partial(training.keeper.begin, data.train, spec.resume)
    ):
        model.fit(
            _epoch_by_epoch(training, steps) if by_epoch else training.stream(steps),
            epochs=definition.epochs,
            initial_epoch=training.attempt.epoch,
            steps_per_epoch=None if by_epoch else steps,
            validation_data=validation,
            validation_batch_size=validation_batch,
            validation_steps=definition.validation_steps,
            class_weight=training.loaded.class_weight,
            callbacks=callbacks,
            shuffle=False,  # the order is ours, or the dataset's own
            verbose=0,
        )


def _epoch_by_epoch(training: KerasTraining, steps: int) -> Dataset:
    """A stream that serves, whenever it is iterated, the epoch that the attempt is in."""
    spec, split = training.spec, training.data.train
    assert isinstance(split, Arrays)
    return epoch_stream(
        split,
        batch_size=spec.setting.batch_size,
        steps=steps,
        seed=spec.seed,
        shuffle=training.loaded.definition.shuffle,
        epoch=lambda: training.attempt.epoch,
    )
