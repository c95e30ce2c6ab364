"""The engine `fit`: one trial after another through Keras' own `model.fit`, for any model that Keras trains."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from lrsearch.engine import _keras
from lrsearch.engine.blame import LEAVING, PASSING, blaming, end_fork
from lrsearch.engine.callbacks import callbacks_for
from lrsearch.engine.compiling import accumulation_of, fresh_model, inner, set_searched
from lrsearch.engine.data import Arrays, Data, Split, sample_batch, training_stream
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.snapshot import restore_snapshot
from lrsearch.engine.watching import AveragedEvaluation, Stop, Track, WatchCallback
from lrsearch.errors import text_of
from lrsearch.space import OPTIMIZERS, rate
from lrsearch.values import Outcome, Save, Source, Status, TrialSpec, Watch

LONGEST_TRACEBACK = 8192  # characters: the end of a traceback is what tells


class FitEngine:
    """See the module; the contract is `lrsearch.engine.contract`."""

    name = "fit"

    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded = loaded

    @blaming
    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, one after another."""
        while (spec := source()) is not None:
            yield self.attempt(spec, watch, save)

    def attempt(self, spec: TrialSpec, watch: Watch, save: Save, *, notes: tuple[str, ...] = ()) -> Outcome:
        """Train one attempt; `notes` go with its outcome."""
        began = time.monotonic()
        run = Run(self.loaded, spec, notes)
        try:
            status, reason = run.train(watch, save)
            value = run.final_value() if status is Status.COMPLETE else None
            return run.outcome(status, began, reason=reason, value=value)
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything, and must not end the worker
            return run.failed(error, began)
        finally:
            del run
            _keras.clear_session()  # or every trial's graph stays for ever (keras-tuner #1031)
            gc.collect()


class Run:
    """One attempt: model, data and callbacks, from start values to the final objective."""

    engine = FitEngine.name
    watcher: type[WatchCallback] = WatchCallback

    def __init__(self, loaded: LoadedStudy, spec: TrialSpec, notes: tuple[str, ...] = ()) -> None:
        self.loaded, self.spec, self.definition = loaded, spec, loaded.definition
        self.track = Track(direction=loaded.direction)
        self.notes = notes
        self.accumulation = 1
        self.model: Any = None

    @property
    def data(self) -> Data:
        return self.loaded.data(self.spec.setting.batch_size)

    def train(self, watch: Watch, save: Save) -> tuple[Status, str]:
        """Build, compile, fit; how it ended."""
        definition, spec = self.definition, self.spec
        keras.utils.set_random_seed(spec.seed)
        self.model = model = fresh_model(definition, spec.setting.extra)
        self.accumulation = accumulation_of(model, definition, yours=spec.yours)
        total = self.loaded.total_steps(spec.setting.batch_size, self.accumulation)
        if not spec.yours:
            set_searched(model, spec.setting, total_steps=total, accumulation=self.accumulation)
            if averaged_of(spec):  # built inside fit's graph, ScheduleFreeAdamW would begin at zeros (docs/decisions.md)
                _keras.build_fully(model, sample_batch(self.data.train, spec.setting.batch_size))
        if spec.resume is not None:
            self._resume()
        callbacks, said = callbacks_for(definition, yours=spec.yours, folder=spec.folder, resumed=spec.resume is not None)
        self.notes += said
        if averaged_of(spec):
            callbacks.append(AveragedEvaluation())
        callbacks.append(self._watcher(total, watch, save))
        try:
            self._fit(callbacks)
        except Stop as stop:
            return stop.status, stop.reason
        return self._completed()

    def _completed(self) -> tuple[Status, str]:
        early = self.track.epoch < self.definition.epochs
        return Status.COMPLETE, f"stopped by a callback after epoch {self.track.epoch}" if early else ""

    def _resume(self) -> None:
        snapshot = self.spec.resume
        assert snapshot is not None
        restore_snapshot(self.model, snapshot, sample_batch(self.data.train, self.spec.setting.batch_size))
        self.track.resume(snapshot)

    def _watcher(self, total: int, watch: Watch, save: Save) -> WatchCallback:
        return self.watcher(
            self.spec,
            objective=self.definition.objective,
            track=self.track,
            epochs=self.definition.epochs,
            total_steps=total,
            accumulation=self.accumulation,
            steps_per_epoch=self.loaded.steps_per_epoch(self.spec.setting.batch_size),
            rate=self._yours_rate if self.spec.yours else lambda step: rate(self.spec.setting, step, total),
            watch=watch,
            save=save,
        )

    def _yours_rate(self, step: int) -> float:
        del step
        return float(inner(self.model.optimizer).learning_rate)

    def _fit(self, callbacks: list[Any]) -> None:
        definition, batch = self.definition, self.spec.setting.batch_size
        steps = self.loaded.steps_per_epoch(batch)
        self.model.fit(
            self._training(steps),
            epochs=definition.epochs,
            initial_epoch=self.track.epoch,
            steps_per_epoch=steps,
            validation_steps=definition.validation_steps,
            class_weight=dict(definition.class_weight) if definition.class_weight else None,
            callbacks=callbacks,
            shuffle=False,  # the order is ours, or the dataset's own
            verbose=0,
            **self._validation(batch),
        )

    def _training(self, steps: int) -> Any:
        split, spec = self.data.train, self.spec
        if not isinstance(split, Arrays):
            return split.source if self.definition.steps_per_epoch is None or split.length is None else _repeated(split.source)
        epochs = self.definition.epochs
        stream = training_stream(
            split,
            batch_size=spec.setting.batch_size,
            seed=spec.seed,
            first_epoch=self.track.epoch,
            epochs=epochs,
            shuffle=self.definition.shuffle,
        )
        whole = split.steps(spec.setting.batch_size)
        return stream if steps == whole else _shortened(stream, whole, steps)

    def _validation(self, batch: int | None) -> dict[str, Any]:
        split = self.data.validation
        if isinstance(split, Arrays):
            return {"validation_data": split.structure, "validation_batch_size": batch}
        return {"validation_data": split.source}

    def final_value(self) -> float | None:
        """The objective of a run that came to its end; a retest adds what the test split says to the logs, as `test_...`."""
        track = self.track
        if self.spec.test_split and self.data.test is not None:
            found = self._evaluate(self.data.test)
            track.logs = {**track.logs, **{f"test_{name}": value for name, value in found.items()}}
        return track.best_value if self.definition.objective_epoch == "best" else track.last_value

    def _evaluate(self, split: Split) -> dict[str, float]:
        averaged = [AveragedEvaluation()] if averaged_of(self.spec) else []
        options: dict[str, Any] = {"return_dict": True, "verbose": 0, "callbacks": averaged}
        if isinstance(split, Arrays):
            x, y, weight = (*split.structure, None)[:3]
            found = self.model.evaluate(x, y, sample_weight=weight, batch_size=self.spec.setting.batch_size, **options)
        else:
            found = self.model.evaluate(split.source, **options)
        return {name: float(value) for name, value in found.items()}

    def failed(self, error: BaseException, began: float) -> Outcome:
        """The outcome of what the study's code raised."""
        end_fork(error)
        kind = "out of memory" if isinstance(error, tf.errors.ResourceExhaustedError) else type(error).__name__
        reason = f"{kind}: {first_line(error)}"
        outcome = self.outcome(Status.FAILED, began, reason=reason, text=user_traceback(error))
        return replace(outcome, left=isinstance(error, LEAVING))

    def outcome(self, status: Status, began: float, *, reason: str = "", text: str = "", value: float | None = None) -> Outcome:
        track = self.track
        return Outcome(
            trial_id=self.spec.trial_id,
            attempt=self.spec.attempt,
            status=status,
            engine=self.engine,
            value=value if status is Status.COMPLETE else track.last_value if status is Status.PRUNED else None,
            last_value=track.last_value,
            best_value=track.best_value,
            best_epoch=track.best_epoch,
            epochs=track.epoch,
            steps=track.batches // self.accumulation,
            seconds=time.monotonic() - began,
            logs=track.logs,
            reason=reason,
            traceback_text=text,
            notes=self.notes,
        )


def averaged_of(spec: TrialSpec) -> bool:
    """Whether the searched optimizer is evaluated at averaged weights."""
    name = spec.setting.optimizer
    return not spec.yours and name in OPTIMIZERS and OPTIMIZERS[name].averaged


def _repeated(source: Any) -> Any:
    """A dataset that is longer than an epoch's steps goes on where the last epoch stopped, and round again."""
    return source.repeat() if isinstance(source, tf.data.Dataset) else source


def _shortened(stream: tf.data.Dataset, whole: int, steps: int) -> tf.data.Dataset:
    """The first `steps` of every `whole` batches."""
    return stream.enumerate().filter(lambda place, _batch: place % whole < steps).map(lambda _place, batch: batch)


def first_line(error: BaseException) -> str:
    return (text_of(error).strip().splitlines() or ["no message"])[0][:500]


def user_traceback(error: BaseException, *, own: Callable[[str], bool] | None = None) -> str:
    """The traceback without lrsearch's own frames, its last 8 KB."""
    home = str(Path(__file__).parents[1])
    mine = own or (lambda file: file.startswith(home))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not mine(frame.filename)]
    text = "".join(
        ["Traceback (most recent call last):\n", *traceback.format_list(frames), *traceback.format_exception_only(error)]
    )
    return text[-LONGEST_TRACEBACK:]
