"""The engine `fit`: one trial after another through Keras' own `model.fit`, for any model that
Keras trains.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from lrsearch.engine import _keras
from lrsearch.engine.blame import LEAVING, PASSING, blaming, end_fork
from lrsearch.engine.callbacks import calls_begin, kept_of, may_change_weights, users_callbacks
from lrsearch.engine.compiling import accumulation_of, inner, seeded_model, set_searched
from lrsearch.engine.contract import Engine
from lrsearch.engine.data import Arrays, Data, Split, epoch_stream, sample_batch, training_stream
from lrsearch.engine.keeping import KeptWeights
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.resuming import StreamKeeper, notes_of
from lrsearch.engine.shared import shared_layers
from lrsearch.engine.snapshot import restore_snapshot
from lrsearch.engine.watching import AveragedEvaluation, Stop, Track, WatchCallback, numbers_of
from lrsearch.errors import text_of
from lrsearch.space import OPTIMIZERS, rate
from lrsearch.values import Outcome, Save, Source, Status, TrialSpec, Watch

LONGEST_TRACEBACK = 8192  # characters: the end of a traceback is what tells


class FitEngine(Engine):
    """See the module."""

    name = "fit"

    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded = loaded

    @blaming
    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, one after another."""
        while (spec := source()) is not None:
            yield self.attempt(spec, watch, save)

    def attempt(
        self, spec: TrialSpec, watch: Watch, save: Save, *, notes: tuple[str, ...] = ()
    ) -> Outcome:
        """Train one attempt; `notes` go with its outcome."""
        began = time.monotonic()
        run = Run(self.loaded, spec, notes)
        try:
            status, reason = run.train(watch, save)
            return run.concluded(status, began, reason=reason)
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything, and must not end the worker
            return run.failed(error, began)
        finally:
            del run
            calls_begin(self.loaded, spec)
            shared_layers(self.loaded.definition.build_model).restore()
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
        self.averaged = AveragedEvaluation() if averaged_of(spec) else None
        self.keeper = StreamKeeper()
        self.keeping: KeptWeights | None = None
        self.watching: WatchCallback | None = None

    @property
    def data(self) -> Data:
        return self.loaded.data(self.spec.setting.batch_size)

    def train(self, watch: Watch, save: Save) -> tuple[Status, str]:
        """Build, compile, fit; how it ended."""
        definition, spec = self.definition, self.spec
        self.model = model = self._fresh(kernels=True)
        self.accumulation = accumulation_of(model, definition, yours=spec.yours)
        total = self.loaded.total_steps(spec.setting.batch_size, self.accumulation)
        if not spec.yours:
            set_searched(model, spec.setting, total_steps=total, accumulation=self.accumulation)
            # built inside fit's graph, ScheduleFreeAdamW would begin at zeros (docs/decisions.md)
            if averaged_of(spec):
                _keras.build_fully(model, sample_batch(self.data.train, spec.setting.batch_size))
        if spec.resume is not None:
            self._resume()
        try:
            around = self._around(self._users_callbacks(), total, watch, save)
            calls_begin(self.loaded, spec)
            self._fit(around)
        except Stop as stop:
            return stop.status, stop.reason
        finally:
            self.keeper.close()
        return self._completed()

    def _fresh(self, *, kernels: bool) -> Any:
        """A model with its start values under this trial's seed."""
        fixed = self.loaded.findings.fixed_seeds
        return seeded_model(
            self.definition,
            self.spec.setting.extra,
            self.spec.seed,
            kernels=kernels,
            fixed_seeds=fixed,
        )

    def _users_callbacks(self) -> list[Any]:
        """The user's callbacks as they are called in this trial; what was taken out is noted."""
        spec = self.spec
        kept, said = kept_of(
            users_callbacks(self.loaded, spec),
            yours=spec.yours,
            folder=spec.folder,
            resumed=spec.resume is not None,
            averaged=averaged_of(spec),
            setting_rates=self.loaded.findings.rate_callbacks,
        )
        self.notes += (*said, *notes_of(spec.resume, self.data.train, kept))
        return kept

    def _around(self, kept: Sequence[Any], total: int, watch: Watch, save: Save) -> list[Any]:
        """The user's callbacks with ours: what is undone after a validation is undone in reverse
        order.
        """
        self.keeping = (
            KeptWeights(self.track) if any(may_change_weights(each) for each in kept) else None
        )
        self.watching = self._watcher(total, watch, save)
        begins = [self.keeping] if self.keeping else []
        begins += [self.averaged.begin] if self.averaged else []
        ends = [self.averaged.end] if self.averaged else []
        return [*begins, *kept, *ends, self.watching]

    def _completed(self) -> tuple[Status, str]:
        early = self.track.epoch < self.definition.epochs
        return (
            Status.COMPLETE,
            f"stopped by a callback after epoch {self.track.epoch}" if early else "",
        )

    def _resume(self) -> None:
        snapshot = self.spec.resume
        assert snapshot is not None
        restore_snapshot(
            self.model, snapshot, sample_batch(self.data.train, self.spec.setting.batch_size)
        )
        if snapshot.batch:
            # `graph` stops between the batches of an execution, and a stream that goes on within an
            # epoch is not one of its own.
            self.model.steps_per_execution = 1
            _keras.set_last_logs(self.model, snapshot.meta["logs"])
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
            rate=self._yours_rate
            if self.spec.yours
            else lambda step: rate(self.spec.setting, step, total),
            watch=watch,
            save=save,
            keep_stream=self.keeper.keep,
            averaged=self.averaged,
            swapping=self.keeping is not None,
        )

    def _yours_rate(self, step: int) -> float:
        del step
        return _keras.number(inner(self.model.optimizer).learning_rate)

    def _fit(self, callbacks: list[Any]) -> None:
        definition, batch = self.definition, self.spec.setting.batch_size
        steps = self.loaded.steps_per_epoch(batch)
        # An execution of several steps takes them from wherever it is: an epoch that ends within
        # one needs a stream of its own.
        by_epoch = isinstance(self.data.train, Arrays) and self.model.steps_per_execution > 1
        with _keras.taking_epoch_iterator(
            partial(self.keeper.begin, self.data.train, self.spec.resume)
        ):
            self.model.fit(
                self._epoch_by_epoch(steps) if by_epoch else self._training(steps),
                epochs=definition.epochs,
                initial_epoch=self.track.epoch,
                steps_per_epoch=None if by_epoch else steps,
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
            return (
                split.source
                if self.definition.steps_per_epoch is None or split.length is None
                else _repeated(split.source)
            )
        epochs, done = self.definition.epochs, spec.resume.batch if spec.resume else 0
        stream = training_stream(
            split,
            batch_size=spec.setting.batch_size,
            seed=spec.seed,
            first_epoch=self.track.epoch,
            first_batch=done,
            epochs=epochs,
            shuffle=self.definition.shuffle,
        )
        whole = split.steps(spec.setting.batch_size)
        return stream if steps == whole else _shortened(stream, whole, steps, done)

    def _epoch_by_epoch(self, steps: int) -> Any:
        split, spec = self.data.train, self.spec
        assert isinstance(split, Arrays)
        return epoch_stream(
            split,
            batch_size=spec.setting.batch_size,
            steps=steps,
            seed=spec.seed,
            shuffle=self.definition.shuffle,
            epoch=lambda: self.track.epoch,
        )

    def _validation(self, batch: int | None) -> dict[str, Any]:
        split = self.data.validation
        if isinstance(split, Arrays):
            return {"validation_data": split.for_keras(), "validation_batch_size": batch}
        return {"validation_data": split.source}

    def concluded(self, status: Status, began: float, *, reason: str = "") -> Outcome:
        """The outcome of an attempt that nothing broke; one that came to its end has the
        objective's value.
        """
        if status is not Status.COMPLETE:
            return self.outcome(status, began, reason=reason)
        value, said = self.final_value()
        return self.outcome(
            status, began, reason="; ".join(filter(None, [reason, said])), value=value
        )

    def final_value(self) -> tuple[float | None, str]:
        """The objective of a run that came to its end, and what to say of it.

        It is judged at the weights that the run keeps; a retest adds what the test split says to
        the logs, as `test_...`.
        """
        track, objective = self.track, self.definition.objective
        said = self._judge_kept_weights()
        if self.spec.test_split and self.data.test is not None:
            found = self._evaluate(self.data.test)
            track.logs = {**track.logs, **{f"test_{name}": value for name, value in found.items()}}
        best = self.definition.objective_epoch == "best"
        value = track.best_value if best else track.last_value
        if value is None:
            place = "in every epoch" if best else f"after epoch {track.judged_epoch}"
            said = "; ".join(filter(None, [said, f"no value: {objective} was not finite {place}"]))
        return value, said

    def _judge_kept_weights(self) -> str:
        """Where a callback put other weights back, the run's value is theirs; says so."""
        kept = self.keeping.kept(self.model) if self.keeping is not None else None
        if kept is None:
            return ""
        track, objective = self.track, self.definition.objective
        if kept.epoch is not None:
            track.judge_epoch(kept.epoch, objective)
            return f"judged at epoch {kept.epoch}, whose weights a callback put back"
        if not objective.startswith("val_"):
            return "a callback changed the weights at the end; the value is the last epoch's"
        found = self._evaluate(self.data.validation, steps=self.definition.validation_steps)
        track.judge(
            {**track.logs, **{f"val_{name}": value for name, value in found.items()}}, objective
        )
        return "judged once more at the end, since a callback changed the weights"

    def _evaluate(self, split: Split, *, steps: int | None = None) -> dict[str, float]:
        callbacks = [self.averaged.begin, self.averaged.end] if self.averaged else []
        options: dict[str, Any] = {
            "return_dict": True,
            "verbose": 0,
            "callbacks": callbacks,
            "steps": steps,
        }
        if isinstance(split, Arrays):
            x, y, weight = (*split.for_keras(), None, None)[:3]
            found = self.model.evaluate(
                x, y, sample_weight=weight, batch_size=self.spec.setting.batch_size, **options
            )
        else:
            found = self.model.evaluate(split.source, **options)
        return numbers_of(found)

    def failed(self, error: BaseException, began: float) -> Outcome:
        """The outcome of what the study's code raised."""
        end_fork(error)
        kind = (
            "out of memory"
            if isinstance(error, tf.errors.ResourceExhaustedError)
            else type(error).__name__
        )
        reason = f"{kind}: {first_line(error)}"
        outcome = self.outcome(Status.FAILED, began, reason=reason, text=user_traceback(error))
        return replace(outcome, left=isinstance(error, LEAVING))

    def outcome(
        self,
        status: Status,
        began: float,
        *,
        reason: str = "",
        text: str = "",
        value: float | None = None,
    ) -> Outcome:
        track = self.track
        return Outcome(
            trial_id=self.spec.trial_id,
            attempt=self.spec.attempt,
            status=status,
            engine=self.engine,
            value=value
            if status is Status.COMPLETE
            else track.last_value
            if status is Status.PRUNED
            else None,
            last_value=track.last_value,
            best_value=track.best_value,
            best_epoch=track.best_epoch,
            epochs=track.epoch,
            steps=track.batches // self.accumulation,
            seconds=time.monotonic() - began,
            logs=track.logs,
            reason=reason,
            traceback_text=text,
            notes=(*self.notes, *self.keeper.notes, *track.notes),
        )


def averaged_of(spec: TrialSpec) -> bool:
    """Whether the searched optimizer is evaluated at averaged weights."""
    name = spec.setting.optimizer
    return not spec.yours and name in OPTIMIZERS and OPTIMIZERS[name].averaged


def _repeated(source: Any) -> Any:
    """A dataset that is longer than an epoch's steps goes on where the last epoch stopped, and
    round again.
    """
    return source.repeat() if isinstance(source, tf.data.Dataset) else source


def _shortened(stream: tf.data.Dataset, whole: int, steps: int, done: int) -> tf.data.Dataset:
    """The first `steps` of every `whole` batches, where `done` of the first `whole` are left out
    already.
    """
    return (
        stream.enumerate(done)
        .filter(lambda place, _batch: place % whole < steps)
        .map(lambda _place, batch: batch)
    )


def first_line(error: BaseException) -> str:
    return (text_of(error).strip().splitlines() or ["no message"])[0][:500]


def user_traceback(error: BaseException, *, own: Callable[[str], bool] | None = None) -> str:
    """The traceback without lrsearch's own frames, its last 8 KB."""
    home = str(Path(__file__).parents[1])
    mine = own or (lambda file: file.startswith(home))
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not mine(frame.filename)
    ]
    text = "".join(
        [
            "Traceback (most recent call last):\n",
            *traceback.format_list(frames),
            *traceback.format_exception_only(error),
        ]
    )
    return text[-LONGEST_TRACEBACK:]
