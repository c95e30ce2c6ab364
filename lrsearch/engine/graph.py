"""The engine `graph`: whole stretches of an epoch in one graph, traced once in a worker's life and kept for later trials.

What it cannot carry (datasets, the user's callbacks, strings, models that do not trace) goes to `fit`, the reason said once.
"""

from __future__ import annotations

import gc
import json
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine import _keras
from lrsearch.engine.callbacks import callbacks_for
from lrsearch.engine.compiling import accumulation_of, fresh_model, set_searched
from lrsearch.engine.data import Arrays, Data, permutation
from lrsearch.engine.fit import FitEngine, Run, averaged_of
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.program import CannotTrace, Held, Program
from lrsearch.engine.snapshot import restore_snapshot
from lrsearch.engine.watching import AveragedEvaluation, Stop
from lrsearch.space import rates
from lrsearch.values import Outcome, Save, Source, Status, TrialSpec, Watch

CALL_SECONDS = 0.5  # batches a call are chosen for this: how late a signal, a prune or a divergence may be noticed
_FIRST_CALL = 16  # batches, before the pace is known
MOST_PROGRAMS = 16  # models kept with their graphs; the default space needs one for each optimizer and yours
MOST_VARIABLES = 50_000_000  # parameters kept in all: the more a model has, the fewer programs are kept
MOST_BYTES = 4 * 2**30  # of data on the device; more streams through `fit`
_SEARCHED_RATE = 1e-3  # stands in the rate's variable until the table is fed


class GraphEngine:
    """See the module; the contract is `lrsearch.engine.contract`."""

    name = "graph"

    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded = loaded
        self._fit = FitEngine(loaded)
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._held: dict[int, tuple[Held, Held]] = {}
        self._refused: dict[str, str] = {}  # programs that did not trace, and why
        self._trials = 0

    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, one after another."""
        while (spec := source()) is not None:
            yield self._attempt(spec, watch, save)

    def _attempt(self, spec: TrialSpec, watch: Watch, save: Save) -> Outcome:
        key = program_key(spec)
        why = self._refused.get(key) or cannot_carry(self.loaded, spec)
        if not why:
            began = time.monotonic()
            run = _GraphRun(self.loaded, spec, self._program)
            try:
                return self._finished(run, run.train(watch, save), began)
            except CannotTrace as error:
                why = self._refused[key] = str(error)
                self._programs.pop(key, None)
            except tf.errors.ResourceExhaustedError:
                self._programs.clear()  # `fit` frees a model before it makes the next
                why = self._refused[key] = "the graphs do not fit into memory"
            except Exception as error:  # noqa: BLE001 - the study's own code may raise anything; `fit` tells it better
                why = self._refused[key] = (
                    f"{type(error).__name__} in the graph: {str(error).splitlines()[0][:200] if str(error) else ''}"
                )
                self._programs.pop(key, None)
        return self._fit.attempt(spec, watch, save, notes=(f"trained by fit: {why}",))

    def _finished(self, run: _GraphRun, ended: tuple[Status, str], began: float) -> Outcome:
        status, reason = ended
        value = run.final_value() if status is Status.COMPLETE else None
        outcome = run.outcome(status, began, reason=reason, value=value)
        self._trials += 1
        if self._trials % 50 == 0:  # fresh models are cycles of objects: collected now and then, not in every trial
            gc.collect()
        return outcome

    def _program(self, spec: TrialSpec) -> Program:
        """The kept program of this structure, or a new one; the least recently used goes."""
        key = program_key(spec)
        if key in self._programs:
            self._programs.move_to_end(key)
            return self._programs[key]
        definition, setting = self.loaded.definition, spec.setting
        model = fresh_model(definition, setting.extra)
        if not spec.yours:
            accumulation = accumulation_of(model, definition)
            total = self.loaded.total_steps(setting.batch_size, accumulation)
            set_searched(model, setting, total_steps=total, accumulation=accumulation, learning_rate=_SEARCHED_RATE)
        data = self.loaded.data(setting.batch_size)
        program = Program(model, *self._on_device(data), batch_size=setting.batch_size, feeds=not spec.yours)
        room = max(2, min(MOST_PROGRAMS, MOST_VARIABLES // max(1, model.count_params())))
        while len(self._programs) >= room:
            self._programs.popitem(last=False)
            gc.collect()
        self._programs[key] = program
        return program

    def _on_device(self, data: Data) -> tuple[Held, Held]:
        if id(data) not in self._held:
            assert isinstance(data.train, Arrays)
            assert isinstance(data.validation, Arrays)
            weights = self.loaded.definition.class_weight
            self._held[id(data)] = Held(data.train, weights, floats=False), Held(data.validation, None, floats=True)
        return self._held[id(data)]


class _GraphRun(Run):
    """One attempt in a program's graphs."""

    engine = GraphEngine.name

    def __init__(self, loaded: LoadedStudy, spec: TrialSpec, program_of: Any) -> None:
        super().__init__(loaded, spec)
        self._program_of = program_of

    def train(self, watch: Watch, save: Save) -> tuple[Status, str]:
        """Copy start values in, train epoch by epoch; how it ended."""
        definition, spec = self.definition, self.spec
        program: Program = self._program_of(spec)
        keras.utils.set_random_seed(spec.seed)
        program.begin(fresh_model(definition, spec.setting.extra), _keras.seed_state())
        self.model = program.model
        self.accumulation = accumulation_of(self.model, definition)
        if spec.resume is not None:
            self._resume()
        _, self.notes = callbacks_for(definition, yours=spec.yours, folder=spec.folder)
        total = self.loaded.total_steps(spec.setting.batch_size, self.accumulation)
        watcher = self._watcher(total, watch, save)
        watcher.set_model(self.model)
        try:
            self._epochs(program, watcher, self._table(total, program))
        except Stop as stop:
            return stop.status, stop.reason
        _keras.finalize(self.model)
        return Status.COMPLETE, ""

    def _table(self, total: int, program: Program) -> np.ndarray:
        """The rate of every batch of the run, float64 (epochs * batches,): an update's rate stands for each of its batches."""
        batches = self.definition.epochs * program.steps
        if self.spec.yours:
            return np.zeros(batches)
        update = np.minimum(np.arange(batches) // self.accumulation, total - 1)
        return rates(self.spec.setting, total)[update]

    def _epochs(self, program: Program, watcher: Any, table: np.ndarray) -> None:
        split = self.data.train
        assert isinstance(split, Arrays)
        shuffle, stretch = self.definition.shuffle, _Stretch()
        for epoch in range(self.track.epoch, self.definition.epochs):
            order = permutation(self.spec.seed, epoch, split.examples) if shuffle else np.arange(split.examples)
            watcher.on_epoch_begin(epoch)
            program.model.reset_metrics()
            logs: dict[str, float] = {}
            place = 0
            while place < program.steps:
                count = min(stretch.batches, program.steps - place)
                begin = epoch * program.steps + place
                with stretch.timed(count):
                    losses, logs = program.train(order, place, table[begin : begin + count])
                for offset, loss in enumerate(losses):
                    watcher.on_train_batch_end(place + offset, {"loss": loss})
                place += count
            watcher.on_epoch_end(epoch, {**logs, **self._validated(program)})

    def _validated(self, program: Program) -> dict[str, float]:
        averaged = AveragedEvaluation() if averaged_of(self.spec) else None
        if averaged is not None:
            averaged.set_model(program.model)
            averaged.on_test_begin()
        try:
            return {f"val_{name}": value for name, value in program.evaluate().items()}
        finally:
            if averaged is not None:
                averaged.on_test_end()

    def _resume(self) -> None:
        snapshot = self.spec.resume
        assert snapshot is not None
        restore_snapshot(self.model, snapshot, ())
        self.track.resume(snapshot)


class _Stretch:
    """How many batches a call trains, so that it takes about CALL_SECONDS."""

    def __init__(self) -> None:
        self.batches = _FIRST_CALL
        self._began = self._calls = 0.0
        self._count = 0

    def timed(self, count: int) -> _Stretch:
        self._count = count
        return self

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self._began
        self._calls += 1
        if self._calls > 1:  # the first call may have traced
            wanted = CALL_SECONDS * self._count / max(seconds, 1e-6)
            self.batches = int(min(max(wanted, 1.0), 4.0 * self.batches))


def program_key(spec: TrialSpec) -> str:
    """Equal for trials that one program can train: all that is built into a graph, and neither rate nor schedule."""
    setting = spec.setting
    if spec.yours:
        return "yours"
    # Keras' decay is multiplied by the rate, so a decay that must not be is divided by the peak: a number in the graph.
    peak = setting.learning_rate if setting.hyper.get("independent_weight_decay") else None
    built = (setting.optimizer, dict(setting.hyper), setting.batch_size, dict(setting.extra), peak)
    return json.dumps(built, sort_keys=True)


def cannot_carry(loaded: LoadedStudy, spec: TrialSpec) -> str:
    """Why this trial has to be trained by `fit`, or empty."""
    definition, data = loaded.definition, loaded.data(spec.setting.batch_size)
    kept, _ = callbacks_for(definition, yours=spec.yours, folder=None)
    checks = {
        "the study has callbacks": bool(kept),
        "the data is a dataset": not isinstance(data.train, Arrays) or not isinstance(data.validation, Arrays),
        "steps_per_epoch or validation_steps is set": definition.steps_per_epoch is not None
        or definition.validation_steps is not None,
    }
    for reason, holds in checks.items():
        if holds:
            return reason
    arrays = [each for split in (data.train, data.validation) for each in tree.flatten(getattr(split, "structure", ()))]
    if any(each.dtype.kind not in "biufc" for each in arrays):
        return "the data is not numbers"
    if sum(each.nbytes for each in arrays) > MOST_BYTES:
        return f"the data is larger than {MOST_BYTES // 2**30} GiB"
    return ""
