"""The engine `graph`: whole stretches of an epoch in one graph, traced once in a worker's life and
kept for later trials.

Arrays that fit lie on the device; larger ones, datasets and PyDatasets stream. What it cannot carry
(callbacks that act on batches, strings, models that do not trace) goes to `fit`, with the reason.
"""

from __future__ import annotations

import gc
import itertools
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine import _keras
from lrsearch.engine.blame import PASSING, blaming, end_fork
from lrsearch.engine.callbacks import calls_begin, watching_batches
from lrsearch.engine.compiling import accumulation_of, fresh_model, inner, set_searched
from lrsearch.engine.contract import Engine
from lrsearch.engine.data import DEFAULT_BATCH, Arrays, Data, permutation, sample_batch
from lrsearch.engine.feeding import ArrayFeed, Feed, StreamFeed
from lrsearch.engine.fit import FitEngine, Run, first_line
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.program import CannotTrace, Held, Program
from lrsearch.engine.shared import shared_layers
from lrsearch.engine.snapshot import restore_snapshot
from lrsearch.engine.watching import Stop, WatchCallback
from lrsearch.space import rates
from lrsearch.values import BY_FIT, Outcome, Save, Source, Status, TrialSpec, Watch

# models kept with their graphs; the default space needs one for each optimizer and yours
MOST_PROGRAMS = 16
# parameters kept in all: the more a model has, the fewer programs are kept
MOST_VARIABLES = 50_000_000
MOST_BYTES = 4 * 2**30  # of arrays on the device; more of them stream
_SEARCHED_RATE = 1e-3  # stands in the rate's variable until the table is fed


class CallbackFailed(Exception):
    """What a callback of the user's raised is the trial's end, and this error's cause."""


class GraphEngine(Engine):
    """See the module."""

    name = "graph"

    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded = loaded
        self._fit = FitEngine(loaded)
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._held: dict[int, tuple[Held | None, Held | None]] = {}
        self._refused: dict[str, str] = {}  # programs that did not trace, and why
        self._trials = 0

    @blaming
    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, one after another."""
        while (spec := source()) is not None:
            yield self.attempt(spec, watch, save)

    def attempt(
        self, spec: TrialSpec, watch: Watch, save: Save, *, notes: tuple[str, ...] = ()
    ) -> Outcome:
        """Train one attempt; `notes` go with its outcome."""
        key = program_key(spec)
        if key not in self._refused:
            try:
                return self._trained(spec, watch, save, notes)
            except PASSING:
                raise
            except BaseException as error:  # noqa: BLE001 - the study's own code may raise anything; `fit` tells it better
                end_fork(error)
                self._refuse(key, error)
        return self._fit.attempt(spec, watch, save, notes=(*notes, f"{BY_FIT}{self._refused[key]}"))

    def _refuse(self, key: str, error: BaseException) -> None:
        """Leave this structure to `fit` from now on."""
        if isinstance(error, tf.errors.ResourceExhaustedError):
            self._programs.clear()  # `fit` frees a model before it makes the next
            self._held.clear()
            self._refused[key] = "the graphs do not fit into memory"
            return
        self._programs.pop(key, None)
        known = isinstance(error, CannotTrace)
        self._refused[key] = (
            str(error)
            if known
            else f"{type(error).__name__} in the graph: {first_line(error)[:200]}"
        )

    def timed_calls(self, spec: TrialSpec) -> Iterator[tuple[float, int]]:
        """Train this trial for as long as it is asked to; yields each call's seconds and batches,
        the tracing one's aside.
        """
        run = _GraphRun(self.loaded, spec, self._program, self.on_device, ())
        try:
            yield from run.timed_calls()
        # whatever it is, trials of this structure go to `fit`, and the caller says why
        except Exception as error:
            self._refuse(program_key(spec), error)
            raise
        finally:
            run.close()

    def _trained(
        self, spec: TrialSpec, watch: Watch, save: Save, notes: tuple[str, ...]
    ) -> Outcome:
        began = time.monotonic()
        run = _GraphRun(self.loaded, spec, self._program, self.on_device, notes)
        try:
            status, reason = run.train(watch, save)
            return run.concluded(status, began, reason=reason)
        except CallbackFailed as failed:
            calls_begin(self.loaded, spec)
            return run.failed(failed.__cause__ or failed, began)
        finally:
            run.close()
            shared_layers(self.loaded.definition.build_model).restore()
            self._trials += 1
            # Fresh models are cycles of objects, collected now and then; a stream's copy of large
            # arrays goes at once.
            if self._trials % 50 == 0 or run.streams_arrays:
                gc.collect()

    def _program(self, spec: TrialSpec) -> Program:
        """The kept program of this structure, or a new one; the least recently used goes."""
        key = program_key(spec)
        if key in self._programs:
            self._programs.move_to_end(key)
            return self._programs[key]
        program = self._new_program(spec)
        room = max(2, min(MOST_PROGRAMS, MOST_VARIABLES // max(1, program.model.count_params())))
        while len(self._programs) >= room:
            self._programs.popitem(last=False)
            gc.collect()
        self._programs[key] = program
        return program

    def _new_program(self, spec: TrialSpec) -> Program:
        definition, setting = self.loaded.definition, spec.setting
        _keras.set_seeds(spec.seed, kernels=False)
        before = _keras.draws_of_tensorflow()
        model = fresh_model(definition, setting.extra)
        draws = before != _keras.draws_of_tensorflow()
        _check_loop(model, yours=spec.yours)
        if not spec.yours:
            accumulation = accumulation_of(model, definition)
            total = self.loaded.total_steps(setting.batch_size, accumulation)
            set_searched(
                model,
                setting,
                total_steps=total,
                accumulation=accumulation,
                learning_rate=_SEARCHED_RATE,
            )
        sample = sample_batch(self.loaded.data(setting.batch_size).train, setting.batch_size)
        return Program(model, sample, feeds=not spec.yours, draws=draws)

    def on_device(self, data: Data) -> tuple[Held | None, Held | None]:
        """The training and the validation split where they are arrays that fit on the device."""
        if id(data) not in self._held:
            weights = self.loaded.definition.class_weight
            fits = sum(each.nbytes for each in _arrays(data)) <= MOST_BYTES
            train = Held(data.train, weights) if isinstance(data.train, Arrays) and fits else None
            validation = (
                Held(data.validation, None)
                if isinstance(data.validation, Arrays) and fits
                else None
            )
            self._held[id(data)] = train, validation
        return self._held[id(data)]


class _GraphRun(Run):
    """One attempt in a program's graphs."""

    engine = GraphEngine.name

    def __init__(
        self,
        loaded: LoadedStudy,
        spec: TrialSpec,
        program_of: Callable[[TrialSpec], Program],
        held_of: Callable[[Data], tuple[Held | None, Held | None]],
        notes: tuple[str, ...],
    ) -> None:
        super().__init__(loaded, spec, notes)
        self._program_of, self._held_of = program_of, held_of
        self._feeds: dict[str, Feed] = {}
        self._callbacks: Any = None
        self._rate: float | None = None

    def train(self, watch: Watch, save: Save) -> tuple[Status, str]:
        """Copy start values in, train epoch by epoch; how it ended."""
        try:
            kept = self._users_callbacks()
        except PASSING:
            raise
        # the user's code may raise anything: the end of this trial, and of no other
        except BaseException as error:
            raise CallbackFailed from error
        _check_carried(self.data, kept)
        program, total = self._begun()
        around = self._around(kept, total, watch, save)
        calls_begin(self.loaded, self.spec)
        self._begin_callbacks(around)
        watcher = self.watching
        assert watcher is not None
        try:
            self._epochs(program, watcher, watched=bool(kept))
        except Stop as stop:
            return stop.status, stop.reason
        return self._completed()

    def _begun(self) -> tuple[Program, int]:
        """The program with this trial's start values and rates, and the updates of a full run."""
        definition, spec = self.definition, self.spec
        program = self._program_of(spec)
        program.begin(self._fresh(kernels=program.draws), _keras.seed_state())
        self.model = program.model
        self.accumulation = accumulation_of(self.model, definition, yours=spec.yours)
        if spec.resume is not None:
            restore_snapshot(self.model, spec.resume, ())
            self.track.resume(spec.resume)
        total = self.loaded.total_steps(spec.setting.batch_size, self.accumulation)
        if not spec.yours:
            program.follow(rates(spec.setting, total))
        return program, total

    def timed_calls(self) -> Iterator[tuple[float, int]]:
        """See the engine."""
        program, _ = self._begun()
        feed = self._feed("train")
        feed.begin(0)
        for call in itertools.count():
            began = time.monotonic()
            losses = program.run("train", feed)
            if losses is None:
                feed.begin(0)
            elif call and len(losses):
                yield time.monotonic() - began, len(losses)

    @property
    def streams_arrays(self) -> bool:
        """Whether the training data are arrays that do not lie on the device."""
        return isinstance(self.data.train, Arrays) and isinstance(
            self._feeds.get("train"), StreamFeed
        )

    def close(self) -> None:
        """Free what streams still hold."""
        for feed in self._feeds.values():
            feed.close()
        self.keeper.close()

    def _begin_callbacks(self, callbacks: Sequence[Any]) -> None:
        steps = self.loaded.steps_per_epoch(self.spec.setting.batch_size)
        options = {"epochs": self.definition.epochs, "steps": steps, "verbose": 0}
        self._callbacks = keras.callbacks.CallbackList(
            list(callbacks), add_history=True, model=self.model, **options
        )
        self.model.stop_training = False

    def _tell(self, hook: str, *arguments: Any) -> None:
        """Call the user's callbacks and ours, as `fit` does."""
        try:
            getattr(self._callbacks, hook)(*arguments)
        except (Stop, *PASSING):
            raise
        except BaseException as error:  # the user's code may raise anything
            raise CallbackFailed from error

    def _epochs(self, program: Program, watcher: WatchCallback, *, watched: bool) -> None:
        """The order in which `fit` does things."""
        self._rate = program.rate if watched else None
        self._tell("on_train_begin")
        logs: dict[str, float] = {}
        for epoch in range(self.track.epoch, self.definition.epochs):
            program.model.reset_metrics()
            self._tell("on_epoch_begin", epoch)
            logs = self._stretches(program, watcher, epoch)
            logs = {**logs, **self._validated(program, watcher, epoch)}
            self._tell("on_epoch_end", epoch, logs)
            if program.model.stop_training:
                break
        _keras.finalize(program.model)
        self._tell("on_train_end", logs)

    def _stretches(self, program: Program, watcher: WatchCallback, epoch: int) -> dict[str, float]:
        """Train an epoch, or the rest of it, some batches a call; what it logs."""
        feed, done = self._feed("train"), watcher.batch
        feed.begin(epoch, done)
        program.logs = dict(watcher.last_logs)
        while (losses := self._call(program, feed)) is not None:
            for loss in losses.tolist():
                done += 1
                watcher.note_batch(done, {"loss": loss})
            watcher.look(done, program.logs)
            if program.model.stop_training:
                break
        return program.logs

    def _call(self, program: Program, feed: Feed) -> np.ndarray | None:
        if self._rate is not None and program.rate != self._rate:
            raise CannotTrace("a callback sets the optimizer's rate")
        losses = program.run("train", feed, one=program.model.stop_training)
        self._rate = None if self._rate is None else program.rate
        return losses

    def _validated(self, program: Program, watcher: WatchCallback, epoch: int) -> dict[str, float]:
        feed = self._feed("validation")
        self._tell("on_test_begin")
        program.model.reset_metrics()
        feed.begin(epoch)
        while program.run("test", feed) is not None:
            watcher.on_test_batch_end(0)
        self._tell("on_test_end", program.logs)
        return {f"val_{name}": value for name, value in program.logs.items()}

    # -- feeds -----------------------------------------------------------------------------------------------------

    def _feed(self, name: str) -> Feed:
        if name not in self._feeds:
            self._feeds[name] = (
                self._training_feed() if name == "train" else self._validation_feed()
            )
        return self._feeds[name]

    def _training_feed(self) -> Feed:
        batch = self.spec.setting.batch_size
        steps = self.loaded.steps_per_epoch(batch)
        held, _ = self._held_of(self.data)
        if held is not None:
            return ArrayFeed(held, batch=batch or DEFAULT_BATCH, steps=steps, order=self._order)
        weights = self.definition.class_weight
        options = {
            "steps_per_epoch": steps,
            "class_weight": dict(weights) if weights else None,
            "shuffle": False,
        }
        iterator = _keras.epoch_iterator(x=self._training(steps), **options)
        self.keeper.begin(self.data.train, self.spec.resume, iterator)
        return _stream(iterator, anew=False)

    def _order(self, epoch: int) -> np.ndarray:
        split = self.data.train
        assert isinstance(split, Arrays)
        return (
            permutation(self.spec.seed, epoch, split.examples)
            if self.definition.shuffle
            else np.arange(split.examples)
        )

    def _validation_feed(self) -> Feed:
        batch, split, given = (
            self.spec.setting.batch_size,
            self.data.validation,
            self.definition.validation_steps,
        )
        _, held = self._held_of(self.data)
        if held is not None:
            order = np.arange(held.examples)
            steps = given or -(-held.examples // (batch or DEFAULT_BATCH))
            return ArrayFeed(
                held, batch=batch or DEFAULT_BATCH, steps=steps, order=lambda _epoch: order
            )
        if isinstance(split, Arrays):
            options = {
                "x": split.x,
                "y": split.y,
                "sample_weight": split.weight,
                "batch_size": batch,
            }
        else:
            options = {"x": split.source}
        return _stream(
            _keras.epoch_iterator(**options, steps_per_epoch=given, shuffle=False), anew=True
        )


def _stream(iterator: Any, *, anew: bool) -> StreamFeed:
    if any(
        getattr(each, "dtype", None) == tf.string
        for each in tree.flatten(_keras.element_spec(iterator))
    ):
        raise CannotTrace("the data is not numbers")
    return StreamFeed(iterator, anew=anew)


def program_key(spec: TrialSpec) -> str:
    """Equal for trials that one program can train: all that is built into a graph, and neither rate
    nor schedule.
    """
    setting = spec.setting
    if spec.yours:
        return "yours"
    # Keras' decay is multiplied by the rate, so a decay that must not be is divided by the peak: a
    # number in the graph.
    peak = setting.learning_rate if setting.hyper.get("independent_weight_decay") else None
    built = (setting.optimizer, dict(setting.hyper), setting.batch_size, dict(setting.extra), peak)
    return json.dumps(built, sort_keys=True)


def _check_loop(model: Any, *, yours: bool) -> None:
    """Raises CannotTrace for a model whose steps or loop a kept graph would not call."""
    if (strategy := _keras.strategy_of(model)) is not None:
        raise CannotTrace(f"the model is built under {type(strategy).__name__}")
    if yours and _keras.rate_is_function(inner(model.optimizer)):
        raise CannotTrace("the learning rate is a function")
    if model.run_eagerly:
        raise CannotTrace("compile asks to run eagerly")
    if part := _keras.own_loop(model):
        raise CannotTrace(f"the model has a {part}() of its own")


def _check_carried(data: Data, callbacks: Sequence[Any]) -> None:
    """Raises CannotTrace for what `fit` must train."""
    watching = watching_batches(callbacks)
    if watching:
        raise CannotTrace(f"{', '.join(watching)} must be called at every batch")
    if any(
        isinstance(split, Arrays) and not split.numeric for split in (data.train, data.validation)
    ):
        raise CannotTrace("the data is not numbers")


def _arrays(data: Data) -> list[np.ndarray]:
    """The arrays that training and validation read."""
    return [
        each
        for split in (data.train, data.validation)
        if isinstance(split, Arrays)
        for each in split.arrays
    ]
