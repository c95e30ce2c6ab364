"""One attempt in a program's graphs: the order in which `fit` does things, many batches a call."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
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
from lrsearch.engine.blame import PASSING
from lrsearch.engine.callbacks import calls_begin
from lrsearch.engine.data import DEFAULT_BATCH, Arrays
from lrsearch.engine.feeding import ArrayFeed, Feed, StreamFeed
from lrsearch.engine.program import Held, Program
from lrsearch.engine.snapshot import restore_snapshot
from lrsearch.engine.starting import order_examples, start_model
from lrsearch.engine.training import KerasTraining
from lrsearch.engine.types import Callback
from lrsearch.engine.ways import SETS_RATE, TEXT_STREAM, CannotCarry
from lrsearch.space import rates


class CallbackFailed(Exception):
    """What a callback of the user's raised is the trial's end, and this error's cause."""


@final
class GraphRun:
    """See the module. A new run has the trial's start values, or its checkpoint's, in the program.

    `held`: the training and the validation split where they lie on the device.
    """

    def __init__(
        self, training: KerasTraining, program: Program, held: tuple[Held | None, Held | None]
    ) -> None:
        self.training, self.program = training, program
        self.attempt, self.model = training.attempt, program.model
        loaded, spec = training.loaded, training.spec
        fresh = start_model(loaded, spec, kernels=program.draws)
        program.begin(fresh, seed_state())
        if spec.resume is not None:
            restore_snapshot(self.model, spec.resume, ())
        training.begin(self.model)
        if not spec.yours:
            program.follow(rates(spec.setting, self.attempt.plan.total_steps))
        train, self._held_validation = held
        self.feed = _training_feed(training, train)
        self._validation: Feed | None = None
        self._callbacks: Any = None  # keras.callbacks.CallbackList
        self._rate: float | None = None  # the next update's, where a callback might set another

    def close(self) -> None:
        """Free what streams still hold."""
        self.feed.close()
        if self._validation is not None:
            self._validation.close()

    def train(self, users: Sequence[Callback]) -> None:
        """Train every epoch that is left, with these callbacks of the user's."""
        training, model = self.training, self.model
        epochs = self.attempt.plan.epochs
        around = training.callbacks(users)
        calls_begin(training.loaded, training.spec)
        self._callbacks = keras.callbacks.CallbackList(
            around,
            add_history=True,
            model=model,
            epochs=epochs,
            steps=self.attempt.plan.steps_per_epoch,
            verbose=0,
        )
        model.stop_training = False
        self._validation = _validation_feed(training, self._held_validation)
        self._rate = self.program.rate if users else None
        self._call("on_train_begin")
        logs: dict[str, float] = {}
        for epoch in range(self.attempt.epoch, epochs):
            model.reset_metrics()
            self._call("on_epoch_begin", epoch)
            logs = {**self._train_epoch(epoch), **self._validate(self._validation, epoch)}
            self._call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
        finalize(model)
        self._call("on_train_end", logs)

    def _call(self, hook: str, *arguments: Any) -> None:
        """Call the user's callbacks and ours, as `fit` does."""
        try:
            getattr(self._callbacks, hook)(*arguments)
        except (Stop, *PASSING):
            raise
        except BaseException as error:  # the user's code may raise anything
            raise CallbackFailed from error

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """Train an epoch, or the rest of it, some batches a call; what it logs."""
        program, attempt = self.program, self.attempt
        done = attempt.batch
        self.feed.begin(epoch, done)
        program.logs = dict(attempt.batch_logs)
        while (losses := self._train_batches()) is not None:
            for loss in losses.tolist():
                done += 1
                attempt.count(done, loss)
            attempt.look(done, program.logs)
            if self.model.stop_training:
                break
        return program.logs

    def _train_batches(self) -> np.ndarray | None:
        """Running means of the loss after each batch of one call; None at the epoch's end."""
        if self._rate is not None and self.program.rate != self._rate:
            raise CannotCarry(SETS_RATE)
        losses = self.program.run("train", self.feed, one=self.model.stop_training)
        self._rate = None if self._rate is None else self.program.rate
        return losses

    def _validate(self, feed: Feed, epoch: int) -> dict[str, float]:
        program = self.program
        self._call("on_test_begin")
        self.model.reset_metrics()
        feed.begin(epoch)
        while program.run("test", feed) is not None:
            self.training.look_in_validation()
        self._call("on_test_end", program.logs)
        return {f"val_{name}": value for name, value in program.logs.items()}

    def timed_calls(self) -> Iterator[tuple[float, int]]:
        """Each call's seconds and batches, but for the first call's; trains on without an end."""
        self.feed.begin(0)
        for call in itertools.count():
            began = time.monotonic()
            losses = self.program.run("train", self.feed)
            if losses is None:
                self.feed.begin(0)
            elif call and len(losses):
                yield time.monotonic() - began, len(losses)

    def timed_validations(self) -> Iterator[tuple[float, int]]:
        """Each validation's seconds and 1, but for the first; validates on without an end."""
        feed = self._validation = _validation_feed(self.training, self._held_validation)
        for call in itertools.count():
            began = time.monotonic()
            feed.begin(0)
            while self.program.run("test", feed) is not None:
                pass
            if call:
                yield time.monotonic() - began, 1


def _training_feed(training: KerasTraining, held: Held | None) -> Feed:
    loaded, spec = training.loaded, training.spec
    steps = training.attempt.plan.steps_per_epoch
    if held is not None:
        order = partial(order_examples, loaded, spec, examples=held.examples)
        batch = spec.setting.batch_size or DEFAULT_BATCH
        return ArrayFeed(held, batch=batch, steps=steps, order=order)
    weights = loaded.definition.class_weight
    iterator = EpochIterator(
        distribute_strategy=tf.distribute.get_strategy(),
        x=training.stream(steps),
        steps_per_epoch=steps,
        class_weight=dict(weights) if weights else None,
        shuffle=False,
    )
    training.keeper.begin(training.data.train, spec.resume, iterator)
    return _stream_feed(iterator, anew=False)


def _validation_feed(training: KerasTraining, held: Held | None) -> Feed:
    split, batch = training.data.validation, training.spec.setting.batch_size
    steps = training.loaded.definition.validation_steps
    if held is not None:
        places, size = np.arange(held.examples), batch or DEFAULT_BATCH
        steps = steps or -(-held.examples // size)
        return ArrayFeed(held, batch=size, steps=steps, order=lambda _epoch: places)
    inputs: dict[str, Any]
    if isinstance(split, Arrays):
        inputs = {"x": split.x, "y": split.y, "sample_weight": split.weight, "batch_size": batch}
    else:
        inputs = {"x": split.source}
    strategy = tf.distribute.get_strategy()
    iterator = EpochIterator(
        distribute_strategy=strategy, **inputs, steps_per_epoch=steps, shuffle=False
    )
    return _stream_feed(iterator, anew=True)


def _stream_feed(iterator: EpochIterator, *, anew: bool) -> StreamFeed:
    kinds = (getattr(each, "dtype", None) for each in tree.flatten(iterator.element_spec))
    if any(kind == tf.string for kind in kinds):
        raise CannotCarry(TEXT_STREAM)
    return StreamFeed(iterator, anew=anew)
