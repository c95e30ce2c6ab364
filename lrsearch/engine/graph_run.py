"""One attempt in a program's graphs: in the order of `fit`, but many batches per call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine._keras_data import EpochIterator
from lrsearch.engine._keras_optimizer import finalize
from lrsearch.engine._keras_state import seed_state
from lrsearch.engine.attempt import Stop
from lrsearch.engine.attempt_start import order_examples, start_model
from lrsearch.engine.blame import PASSING
from lrsearch.engine.calibration import Calls, time_calls
from lrsearch.engine.callbacks import calls_begin
from lrsearch.engine.data import DEFAULT_BATCH
from lrsearch.engine.feeding import ArrayFeed, DeviceArrays, Feed, StreamFeed
from lrsearch.engine.limits import SETS_RATE, TEXT_STREAM, CannotCarry
from lrsearch.engine.program import Program
from lrsearch.engine.snapshot import restore_snapshot
from lrsearch.engine.training import KerasTraining, keras_data
from lrsearch.engine.types import Callback, CallbackList


class CallbackFailed(Exception):
    """A callback of the user's raised this error's cause, which ends the trial."""


@contextmanager
def calling_users_code() -> Iterator[None]:
    """Raise CallbackFailed from whatever the user's callbacks raise."""
    try:
        yield
    except (Stop, *PASSING):
        raise
    except BaseException as error:  # the study's own code may raise anything
        raise CallbackFailed from error


@final
class GraphRun:
    """See the module. A new run puts the trial's start values, or its checkpoint, into the program.

    `arrays`: the training and the validation split where they lie on the device.
    """

    def __init__(
        self,
        training: KerasTraining,
        program: Program,
        arrays: tuple[DeviceArrays | None, DeviceArrays | None],
    ) -> None:
        self.training, self.program = training, program
        self.attempt, self.model = training.attempt, program.model
        loaded, spec = training.loaded, training.spec
        fresh = start_model(loaded, spec, kernels=program.draws)
        program.begin(fresh, seed_state())
        if spec.resume is not None:
            restore_snapshot(self.model, spec.resume, ())
        training.begin(self.model)
        if (planned := self.attempt.plan.planned) is not None:
            program.follow(planned)
        train, self._validation_arrays = arrays
        self.feed = _training_feed(training, train)
        self._validation: Feed | None = None
        self._callbacks: CallbackList = None
        # the next update's, where a callback might set another
        self._rate: float | None = None

    def close(self) -> None:
        """Free what streams still have."""
        self.feed.close()
        if self._validation is not None:
            self._validation.close()

    def train(self, users: Sequence[Callback]) -> None:
        """Train every epoch that is left, with these callbacks of the user's."""
        training, model = self.training, self.model
        epochs = self.attempt.plan.epochs
        callbacks = training.callbacks(users)
        calls_begin(training.loaded, training.spec)
        self._callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            model=model,
            epochs=epochs,
            steps=self.attempt.plan.steps_per_epoch,
            verbose=0,
        )
        model.stop_training = False
        validation = self._begin_validation()
        self._rate = self.program.rate if users else None
        self._call("on_train_begin")
        logs: dict[str, float] = {}
        for epoch in range(self.attempt.epoch, epochs):
            model.reset_metrics()
            self._call("on_epoch_begin", epoch)
            logs = {**self._train_epoch(epoch), **self._validate(validation, epoch)}
            self._call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
        finalize(model)
        self._call("on_train_end", logs)

    def _call(self, hook: str, *arguments: Any) -> None:
        """Call the user's callbacks and ours, as `fit` does."""
        with calling_users_code():
            getattr(self._callbacks, hook)(*arguments)

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """Train an epoch, or the rest of it, some batches per call; its logs."""
        program, attempt = self.program, self.attempt
        done = attempt.batch
        self.feed.begin(epoch, done)
        program.logs = dict(attempt.batch_logs)
        while (losses := self._train_batches()) is not None:
            attempt.enter_rates(done, program.used)
            for loss in losses.tolist():
                done += 1
                attempt.count(done, loss)
            attempt.look(done, program.logs)
            if self.model.stop_training:
                break
        return program.logs

    def _train_batches(self) -> np.ndarray | None:
        """The running mean of the loss after each batch of one call, (batches,), float32.

        None at the epoch's end.
        """
        if self._rate is not None and self.program.rate != self._rate:
            raise CannotCarry(SETS_RATE)
        losses = self.program.run("train", self.feed, one=self.model.stop_training)
        self._rate = None if self._rate is None else self.program.rate
        return losses

    def _begin_validation(self) -> Feed:
        self._validation = _validation_feed(self.training, self._validation_arrays)
        return self._validation

    def _validate(self, feed: Feed, epoch: int) -> dict[str, float]:
        program = self.program
        self._call("on_test_begin")
        self.model.reset_metrics()
        feed.begin(epoch)
        while program.run("test", feed) is not None:
            self.training.look_in_validation()
        self._call("on_test_end", program.logs)
        return {f"val_{name}": value for name, value in program.logs.items()}

    def timed_calls(self, *, validating: bool) -> Calls:
        """Train on without an end, or validate; a validation counts as one batch."""

        def train() -> int:
            losses = self.program.run("train", self.feed)
            if losses is None:
                self.feed.begin(0)
            return 0 if losses is None else len(losses)

        def validate() -> int:
            validation.begin(0)
            while self.program.run("test", validation) is not None:
                pass
            return 1

        if validating:
            validation = self._begin_validation()
            return time_calls(validate)
        self.feed.begin(0)
        return time_calls(train)


def _training_feed(training: KerasTraining, arrays: DeviceArrays | None) -> Feed:
    loaded, spec = training.loaded, training.spec
    steps = training.attempt.plan.steps_per_epoch
    if arrays is not None:
        order = partial(order_examples, loaded, spec, examples=arrays.examples)
        batch = spec.setting.batch_size or DEFAULT_BATCH
        return ArrayFeed(arrays, batch=batch, steps=steps, order=order)
    iterator = EpochIterator(
        distribute_strategy=tf.distribute.get_strategy(),
        x=training.stream(steps),
        steps_per_epoch=steps,
        class_weight=loaded.class_weight,
        shuffle=False,
    )
    training.keeper.begin(training.data.train, spec.resume, iterator)
    return _stream_feed(iterator, anew=False)


def _validation_feed(training: KerasTraining, arrays: DeviceArrays | None) -> Feed:
    batch = training.spec.setting.batch_size
    steps = training.loaded.definition.validation_steps
    if arrays is not None:
        places, size = np.arange(arrays.examples), batch or DEFAULT_BATCH
        steps = steps or -(-arrays.examples // size)
        return ArrayFeed(arrays, batch=size, steps=steps, order=lambda _epoch: places)
    inputs, batch = keras_data(training.data.validation, batch)
    x, y, weight = keras.utils.unpack_x_y_sample_weight(inputs)
    iterator = EpochIterator(
        distribute_strategy=tf.distribute.get_strategy(),
        x=x,
        y=y,
        sample_weight=weight,
        batch_size=batch,
        steps_per_epoch=steps,
        shuffle=False,
    )
    return _stream_feed(iterator, anew=True)


def _stream_feed(iterator: EpochIterator, *, anew: bool) -> StreamFeed:
    kinds = (
        getattr(each, "dtype", None) for each in tree.flatten(iterator.element_spec)
    )
    if any(kind == tf.string for kind in kinds):
        raise CannotCarry(TEXT_STREAM)
    return StreamFeed(iterator, anew=anew)
