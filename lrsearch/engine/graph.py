"""The engine `graph`: whole stretches of an epoch in one graph, traced once in a worker's life.

A traced program is kept for later trials. Arrays that fit lie on the device; larger
ones, datasets and PyDatasets stream. What the engine cannot carry (callbacks that act
on batches, strings, models that do not trace) goes to `fit`, with the reason.
"""

from __future__ import annotations

import gc
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TypeAlias, final
from weakref import ReferenceType, ref

import tensorflow as tf

from lrsearch.engine import limits
from lrsearch.engine.attempt import Attempt, Stop
from lrsearch.engine.attempt_start import keep_callbacks, kept_model, set_optimizer
from lrsearch.engine.blame import PASSING, Observer, end_fork, train_each
from lrsearch.engine.calibration import (
    TIMED_SECONDS,
    Calibration,
    Calls,
    time_alone,
    timed_specs,
    timing_of,
)
from lrsearch.engine.callbacks import calls_begin
from lrsearch.engine.contract import Engine, Figures
from lrsearch.engine.data import Arrays, Data, Split, sample_batch
from lrsearch.engine.device_memory import has_gpu, read_memory
from lrsearch.engine.failure import fail_attempt, one_line
from lrsearch.engine.feeding import DeviceArrays, StreamFeed
from lrsearch.engine.fit import FitEngine
from lrsearch.engine.graph_run import CallbackFailed, GraphRun, calling_users_code
from lrsearch.engine.limits import STEPS_OF_MEMORY, AttemptFacts, ModelFacts
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.program import Program
from lrsearch.engine.shared import shared_layers
from lrsearch.engine.training import KerasTraining
from lrsearch.values import BY_FIT, Outcome, Save, Source, TrialSpec, Watch

# Models kept with their graphs; the default space needs one for each optimizer and
# yours.
MOST_PROGRAMS = 16
# Parameters kept in all: the more a model has, the fewer programs are kept.
MOST_VARIABLES = 50_000_000
_STREAMS = "the data does not fit on the device beside the model: its batches stream"
# a kept program has weights, gradients and two slots, of float32
_COPIES, _BYTES = 4, 4
_Resident: TypeAlias = tuple[DeviceArrays | None, DeviceArrays | None]

_COLLECT_EVERY = 50  # trials: fresh models are cycles of objects


@final
class GraphEngine(Engine):
    """See the module."""

    name = "graph"

    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded = loaded
        self._fit = FitEngine(loaded)
        self._programs: OrderedDict[str, Program] = OrderedDict()
        # By the data's id, while the data is there: the training and the validation
        # split.
        self._on_device: dict[int, tuple[ReferenceType[Data], _Resident]] = {}
        # whether arrays stay off the device, memory having run out
        self._streams = False
        self._refused: dict[str, str] = {}  # programs that did not trace, and why
        self._trials = 0

    @property
    def parameters(self) -> int:
        """The parameters of the largest model that is kept."""
        return max(
            (each.model.count_params() for each in self._programs.values()), default=0
        )

    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, one after another."""
        return train_each(self.train_one, source, watch, save)

    def train_one(
        self, spec: TrialSpec, observer: Observer, *, notes: tuple[str, ...] = ()
    ) -> Outcome:
        """Train one attempt; `notes` go with its outcome."""
        key = program_key(spec)
        while key not in self._refused:
            attempt = Attempt(spec, engine=self.name, observer=observer, notes=notes)
            try:
                return self._train_in_graph(attempt)
            except PASSING:
                raise
            except BaseException as error:  # noqa: BLE001 - the study's own code may raise anything; `fit` reports it better
                end_fork(error)
                self._refuse(key, error)
                notes = (*notes, *([_STREAMS] if key not in self._refused else []))
            # what the failed attempt left are cycles, and may fill the device
            gc.collect()
        notes = (*notes, f"{BY_FIT}{self._refused[key]}")
        return self._fit.train_one(spec, observer, notes=notes)

    def _refuse(self, key: str, error: BaseException) -> None:
        """Leave this structure to `fit` from now on.

        Where memory ran out beside arrays on the device, these stream from now on
        instead.
        """
        if isinstance(error, tf.errors.ResourceExhaustedError):
            self._programs.clear()  # `fit` frees a model before it makes the next
            resident = any(
                part for _, parts in self._on_device.values() for part in parts
            )
            self._on_device.clear()
            if resident:
                self._streams = True
                return
            self._refused[key] = limits.GRAPHS_TOO_LARGE.reason
        else:
            self._programs.pop(key, None)
            self._refused[key] = one_line(error, " in the graph")

    # -- timing ------------------------------------------------------------------------

    def time_steps(self) -> Figures:
        """Time the first reference setting, alone; empty where its graph cannot be kept."""
        calls = partial(self.timed_calls, timed_specs(self.loaded)[0])
        try:
            training = timing_of(calls(), enough=TIMED_SECONDS)
            means = {"graph": 1000 * training.mean}
            chosen = Calibration(engine="graph", width=1, reason="", means=means)
            validating = partial(calls, validating=True)
            return asdict(time_alone(chosen, self.loaded, validating, training))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the study's own code may raise anything; trials report it better
            end_fork(error)
            return {}

    def timed_calls(self, spec: TrialSpec, *, validating: bool = False) -> Calls:
        """Train this trial for as long as it is asked to, or validate it.

        A validation counts as one batch.
        """
        training = KerasTraining(self.loaded, Attempt(spec, engine=self.name))
        run = None
        try:
            run = self._new_run(training)
            yield from run.timed_calls(validating=validating)
        except Exception as error:
            # whatever it is, such trials go to `fit`; the caller says why
            self._refuse(program_key(spec), error)
            raise
        finally:
            _close(training, run)

    # -- training ----------------------------------------------------------------------

    def _train_in_graph(self, attempt: Attempt) -> Outcome:
        spec, definition = attempt.spec, self.loaded.definition
        training = KerasTraining(self.loaded, attempt)
        run = None
        try:
            with calling_users_code():
                users = keep_callbacks(self.loaded, attempt)
            facts = AttemptFacts(
                definition=definition,
                spec=spec,
                data=training.data,
                callbacks=users,
                step_bytes=self.loaded.findings.step_bytes,
            )
            limits.check(self.name, facts)
            training.rows.open()
            run = self._new_run(training)
            run.train(users)
            return training.complete()
        except Stop as stop:
            return attempt.conclude(stop.status, stop.reason)
        except CallbackFailed as failed:
            calls_begin(self.loaded, spec)
            return fail_attempt(attempt, failed.__cause__ or failed)
        finally:
            _close(training, run)
            shared_layers(definition.build_model).restore()
            self._trials += 1
            streams = run is not None and isinstance(run.feed, StreamFeed)
            # A stream's copy of large arrays goes at once.
            large = streams and isinstance(training.data.train, Arrays)
            if large or self._trials % _COLLECT_EVERY == 0:
                gc.collect()

    def _new_run(self, training: KerasTraining) -> GraphRun:
        return GraphRun(
            training, self._program(training.spec), self.on_device(training.data)
        )

    def _program(self, spec: TrialSpec) -> Program:
        """The kept program of this structure, or a new one; the least recently used goes."""
        key = program_key(spec)
        if key in self._programs:
            self._programs.move_to_end(key)
            return self._programs[key]
        while len(self._programs) >= self._most_programs():
            self._programs.popitem(last=False)
            gc.collect()
        program = self._new_program(spec)
        self._programs[key] = program
        return program

    def _most_programs(self) -> int:
        """How many programs may be kept, beside the one that trains."""
        parameters = max(1, self.parameters)
        most = max(2, min(MOST_PROGRAMS, MOST_VARIABLES // parameters))
        if has_gpu():
            left = (
                read_memory().limit - STEPS_OF_MEMORY * self.loaded.findings.step_bytes
            )
            most = max(1, min(most, 1 + int(left // (_COPIES * _BYTES * parameters))))
        return most

    def _check_room(self, parameters: int) -> None:
        """Raise CannotCarry where a trial would not fit on the GPU beside its fresh model."""
        step_bytes = self.loaded.findings.step_bytes
        if (
            step_bytes
            and has_gpu()
            and step_bytes + _BYTES * parameters > read_memory().limit
        ):
            raise limits.CannotCarry(limits.GRAPHS_TOO_LARGE)

    def _new_program(self, spec: TrialSpec) -> Program:
        setting = spec.setting
        model, draws = kept_model(self.loaded, spec.seed, setting.extra)
        facts = ModelFacts(
            definition=self.loaded.definition, model=model, yours=spec.yours
        )
        limits.check(self.name, facts)
        self._check_room(model.count_params() if model.built else 0)
        if not spec.yours:
            set_optimizer(self.loaded, model, setting, feeds=True, fold=spec.fold)
        sample = sample_batch(self.loaded.data_of(spec).train, setting.batch_size)
        return Program(model, sample, feeds=not spec.yours, draws=draws)

    def on_device(self, data: Data) -> _Resident:
        """The training and the validation split where they are arrays that fit on the device."""

        def put(split: Split, weights: dict[int, float] | None) -> DeviceArrays | None:
            return (
                DeviceArrays(split, weights)
                if fits and isinstance(split, Arrays)
                else None
            )

        # Another fold may have the id of one that is gone.
        there = {
            key: each for key, each in self._on_device.items() if each[0]() is not None
        }
        self._on_device = there
        if id(data) not in there:
            step_bytes = self.loaded.findings.step_bytes
            fits = not self._streams and limits.fits_device(data, step_bytes)
            weights = self.loaded.class_weight
            there[id(data)] = (
                ref(data),
                (put(data.train, weights), put(data.validation, None)),
            )
        return there[id(data)][1]


def _close(training: KerasTraining, run: GraphRun | None) -> None:
    """Free what streams still have."""
    if run is not None:
        run.close()
    training.keeper.close()


def program_key(spec: TrialSpec) -> str:
    """Equal for trials that one program can train.

    The key has all that is built into a graph: neither rate nor schedule.
    """
    setting = spec.setting
    if spec.yours:
        return "yours"
    # Keras' decay is multiplied by the rate. A decay that must not be is divided by the
    # peak, which is then a number in the graph.
    peak = (
        setting.learning_rate if setting.hyper.get("independent_weight_decay") else None
    )
    built = (
        setting.optimizer,
        dict(setting.hyper),
        setting.batch_size,
        dict(setting.extra),
        peak,
    )
    return json.dumps(built, sort_keys=True)
