"""The rows that train together: each an attempt, all of them one state on the device.

Rows join and leave between epochs; within one they go in step. Every row has its own
epoch, order, rates and books (`Attempt`), so that it reports what the other engines
report.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import final

import numpy as np

from lrsearch.engine._keras_model import build_layers
from lrsearch.engine._keras_optimizer import inner
from lrsearch.engine._keras_state import seed_state
from lrsearch.engine.attempt import Attempt, Stop
from lrsearch.engine.attempt_start import (
    keep_callbacks,
    make_plan,
    order_examples,
    set_optimizer,
    start_model,
)
from lrsearch.engine.blame import Observer
from lrsearch.engine.callbacks import calls_begin
from lrsearch.engine.compiling import accumulation_of
from lrsearch.engine.data import Arrays
from lrsearch.engine.families import COLUMNS, Family
from lrsearch.engine.feeding import DeviceArrays
from lrsearch.engine.limits import HAS_CALLBACKS, CannotCarry
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.program import Pace
from lrsearch.engine.row_keeping import RowKeeper
from lrsearch.engine.row_scoring import Weights
from lrsearch.engine.rows import Row, concatenate, gather, of_family, select_rows
from lrsearch.engine.stacked import RowInputs, StackedProgram, State
from lrsearch.engine.types import Model, Tensor
from lrsearch.space import rates
from lrsearch.values import Outcome, Setting, Snapshot, Status, TrialSpec

_ENGINE = "vectorized"
_OPTIMIZER = "optimizer/"  # begins the names of the optimizer's arrays in a snapshot


@final
class Stack:
    """One program's rows, and their state, which is `StackedProgram`'s; see the module."""

    def __init__(self, loaded: LoadedStudy, program: StackedProgram) -> None:
        self.loaded, self.program = loaded, program
        self.rows: list[Row] = []  # in the order of their families, as in the state
        self.state: State = program.empty_state()
        self.pace = Pace()
        # their places, by the optimizer's structure
        self._families: dict[Hashable, int] = {}
        self._tests: dict[int, DeviceArrays] = {}
        # The state's weights and rest between two epochs, once somebody has looked at
        # them.
        self._host: list[np.ndarray] | None = None

    # -- joining and leaving -----------------------------------------------------------

    def add(self, specs: Sequence[TrialSpec], observer: Observer) -> None:
        """Let attempts join; an exception leaves the stack as it was.

        Raises CannotCarry where an attempt has callbacks: nobody would call them.
        """
        with self._undone_by_errors():
            attempts = [
                Attempt(spec, engine=_ENGINE, observer=observer) for spec in specs
            ]
            opened = [self._open(attempt) for attempt in attempts]
            for attempt in attempts:
                _refuse_callbacks(self.loaded, attempt)
            self._join(opened)

    @contextmanager
    def _undone_by_errors(self) -> Iterator[None]:
        """Leave rows, state and families as they were where an exception is raised within."""
        known, families = (self.state, self.rows), len(self.program.families)
        try:
            yield
        except BaseException:  # whatever it is, the stack must be as it was
            self.state, self.rows = known
            del self.program.families[families:]  # the state has no slots for them
            before = {
                key: place for key, place in self._families.items() if place < families
            }
            self._families = before
            raise

    def _open(self, attempt: Attempt) -> tuple[Row, State]:
        """A new row with its state (one row): fresh, or its checkpoint's."""
        loaded, program, spec = self.loaded, self.program, attempt.spec
        scores = RowKeeper(loaded, attempt)
        scores.open()
        model = start_model(loaded, spec, kernels=program.draws)
        build_layers(model, program.sample)
        seeds = seed_state().numpy()  # before another row's seeds take its place
        set_optimizer(loaded, model, spec.setting, feeds=True)
        accumulation = accumulation_of(model, loaded.definition)
        place = self._family(spec.setting, model)
        family = program.families[place]
        row = Row(
            attempt=attempt,
            scores=scores,
            family=place,
            hyper=family.hyper([inner(model.optimizer)]),
            rates=self._rates_of_batches(spec.setting, accumulation),
        )
        plan = make_plan(
            loaded,
            spec,
            accumulation=accumulation,
            fill=partial(self._fill, row),
            within=False,  # the state is that of the last epoch's end until the next
        )
        attempt.begin(plan)
        if spec.resume is None:
            weights, rest = program.layout.start(model, seeds)
            slots = family.begin(spec.setting, weights)
        else:
            arrays = spec.resume.arrays
            weights, rest = program.layout.from_arrays(arrays)
            own = {
                int(name.removeprefix(_OPTIMIZER)): each
                for name, each in arrays.items()
                if name.startswith(_OPTIMIZER)
            }
            slots = family.restore(own)
        return row, {"weights": weights, "rest": rest, "slots": slots}

    def _rates_of_batches(self, setting: Setting, accumulation: int) -> np.ndarray:
        """The rate of every batch of a run: (epochs * batches,), float64."""
        total = self.loaded.total_steps(setting.batch_size, accumulation)
        batches = self.loaded.definition.epochs * self.program.steps
        update = np.minimum(np.arange(batches) // accumulation, total - 1)
        return rates(setting, total)[update]

    def _family(self, setting: Setting, model: Model) -> int:
        """The place of the setting's family.

        A structure that was not seen before becomes a new family, built on the kept
        model.
        """
        varying, program = _searched_hyper(self.loaded, setting), self.program
        fixed = {
            name: value for name, value in setting.hyper.items() if name not in varying
        }
        decays = bool(inner(model.optimizer).weight_decay)
        plain = setting.hyper.get("momentum", 0.0) == 0.0
        key = (setting.optimizer, tuple(sorted(fixed.items())), decays, plain)
        if key not in self._families:
            set_optimizer(self.loaded, program.model, setting, feeds=True)
            trainable = program.layout.trainable
            program.model.optimizer.build(trainable)
            pattern = inner(program.model.optimizer)
            own = [name for name in COLUMNS if getattr(pattern, name, None) is not None]
            columns = [name for name in own if name in varying]
            self._families[key] = len(program.families)
            program.families.append(Family(pattern, trainable, columns))
        return self._families[key]

    def _join(self, opened: Sequence[tuple[Row, State]]) -> None:
        state, new = self.state, [state for _, state in opened]
        known = [*state["slots"], *self.program.empty_slots()[len(state["slots"]) :]]
        slots = [
            concatenate(
                own, *(each["slots"] for row, each in opened if row.family == place)
            )
            for place, own in enumerate(known)
        ]
        weights = concatenate(state["weights"], *(each["weights"] for each in new))
        rest = concatenate(list(state["rest"]), *(each["rest"] for each in new))
        self.state = {"weights": weights, "rest": rest, "slots": slots}
        self.rows = [*self.rows, *(row for row, _ in opened)]
        # stable, as slots are
        self._keep(sorted(self.rows, key=lambda row: row.family))

    def _keep(self, rows: Sequence[Row]) -> None:
        """Let these rows stay, in this order."""
        self.state = select_rows(self.state, self.rows, rows)
        self.rows = list(rows)

    # -- training ----------------------------------------------------------------------

    def epoch(self) -> list[Outcome]:
        """Train one epoch of every row; the outcomes of the rows that ended with it or within."""
        self._train()
        outcomes = [
            self._conclude(row, row.stop) for row in self.rows if row.stop is not None
        ]
        if outcomes:
            self._keep([row for row in self.rows if row.stop is None])
        return outcomes

    def _train(self) -> None:
        program, rows = self.program, self.rows
        self._host = None
        inputs = self.inputs_of(rows)
        # float64 of (R, batches)
        table = np.stack([self._epoch_rates(row) for row in rows])
        for row in rows:
            row.attempt.begin_epoch()
        state = {**self.state, "metrics": program.layout.unmetered(len(rows))}
        place, whole = 0, program.full_steps
        while place < whole and any(row.stop is None for row in rows):
            count = min(self.pace.batches, whole - place)
            began = time.monotonic()
            state, losses = program.train(
                state, inputs, place, table[:, place : place + count]
            )
            self._enter_rates(place, table[:, place : place + count])
            self.pace.learn(count, time.monotonic() - began)
            self._count(place, losses)
            place += count
        if any(row.stop is None for row in rows):
            state, losses, logs = program.end_epoch(state, inputs, table[:, whole:])
            self._enter_rates(whole, table[:, whole:])
            self._count(whole, losses)
            self.state = {
                name: each for name, each in state.items() if name != "metrics"
            }
            self._end_epoch(logs)

    def inputs_of(self, rows: Sequence[Row]) -> RowInputs:
        """What a graph takes beside the state of these rows."""
        families, examples = self.program.families, self.program.train_data.examples
        hyper = []
        for place, family in enumerate(families):
            own = [row.hyper for row in of_family(rows, place)]
            hyper.append(np.concatenate([np.zeros((0, len(family.varying))), *own]))
        orders = [
            order_examples(self.loaded, row.attempt.spec, row.attempt.epoch, examples)
            for row in rows
        ]
        return RowInputs(
            counts=np.array([len(each) for each in hyper], np.int32),
            hyper=tuple(hyper),
            order=np.stack(orders).astype(np.int32),
        )

    def _epoch_rates(self, row: Row) -> np.ndarray:
        """The rates of the epoch's batches: (batches,), float64."""
        begin = row.attempt.epoch * self.program.steps
        return row.rates[begin : begin + self.program.steps]

    def _enter_rates(self, place: int, used: np.ndarray) -> None:
        """Enter the rates that the graph was given for batches from `place` on: (R, batches)."""
        for row, own in zip(self.rows, used, strict=True):
            if row.stop is None and len(own):
                row.attempt.enter_rates(place, own)

    def _count(self, place: int, losses: np.ndarray) -> None:
        """Enter the batches from `place` on into the books; losses: (batches, R), float32."""
        for row, own in zip(self.rows, losses.T.tolist(), strict=True):
            if row.stop is not None or not own:
                continue
            try:
                for done, loss in enumerate(own, place + 1):
                    row.attempt.count(done, loss)
                row.attempt.look(place + len(own), {"loss": own[-1]})
            except Stop as stop:
                row.stop = stop

    def _end_epoch(self, logs: Sequence[dict[str, float]]) -> None:
        for row, own in zip(self.rows, logs, strict=True):
            if row.stop is not None:
                continue
            try:
                if row.scores.wants():
                    row.scores.offer(partial(self._weights, row))
                row.attempt.end_epoch(own)
                if row.attempt.epoch >= self.loaded.definition.epochs:
                    row.stop = Stop(Status.COMPLETE)
            except Stop as stop:
                row.stop = stop
            row.scores.end_epoch(goes_on=row.stop is None)

    def _conclude(self, row: Row, stop: Stop) -> Outcome:
        attempt, spec = row.attempt, row.attempt.spec
        calls_begin(self.loaded, spec)
        test = self.loaded.data_of(spec).test
        if stop.status is Status.COMPLETE and spec.test_split and test is not None:
            assert isinstance(test, Arrays)
            attempt.logs = attempt.logs_with("test", self._evaluate(row, test))
        if stop.status is Status.COMPLETE:
            row.scores.conclude(partial(self._weights, row, final=True))
        return attempt.conclude(stop.status, stop.reason)

    def empty(self) -> list[TrialSpec]:
        """Let every row go, with its memory; returns what they trained."""
        specs = [row.attempt.spec for row in self.rows]
        self.rows, self.state = [], self.program.empty_state()
        return specs

    def rehearse(self, specs: Sequence[TrialSpec]) -> tuple[list[Row], State]:
        """Rows as they would begin, and their state, to be timed.

        None of the rows stays, but their families do. Call this only while nobody
        trains here. An exception leaves the stack as it was.
        """
        with self._undone_by_errors():
            self._join([self._open(Attempt(spec, engine=_ENGINE)) for spec in specs])
        rehearsed = self.rows, self.state
        self.empty()
        return rehearsed

    # -- one row's state ---------------------------------------------------------------

    def _fill(self, row: Row, place: Snapshot) -> Snapshot:
        """Add the row's arrays to a snapshot, named as every engine names them."""
        state, at = self.state, self.rows.index(row)
        rest = [each[at].numpy() for each in state["rest"]]
        own = self.program.families[row.family].snapshot(self._slots(row))
        arrays = self.program.layout.to_arrays(state["weights"][at].numpy(), rest)
        arrays |= {f"{_OPTIMIZER}{name}": value for name, value in own.items()}
        rows, about = row.scores.snapshot()
        return replace(place, arrays={**arrays, **rows}, meta={**place.meta, **about})

    def _evaluate(self, row: Row, split: Arrays) -> dict[str, float]:
        """A finished row's logs on another split, at the weights that it ends with."""
        if id(split) not in self._tests:
            self._tests[id(split)] = DeviceArrays(split)
        rest = gather(self.state["rest"], [self.rows.index(row)])
        weights = self._evaluated_weights(row, final=True)
        return self.program.evaluate(weights, rest, self._tests[id(split)])[0]

    def _evaluated_weights(self, row: Row, *, final: bool) -> Tensor:
        """The weights that a row is evaluated at, (1, parameters): as it ends, or as it trains."""
        family, slots = self.program.families[row.family], self._slots(row)
        weights = gather(self.state["weights"], [self.rows.index(row)])
        weights = family.final_weights(weights, slots) if final else weights
        return family.validation_weights(weights, slots, row.hyper)

    def _weights(self, row: Row, *, final: bool = False) -> Weights:
        """What `_evaluated_weights` gives, with the row's other variables, in the model's order."""
        at, family = self.rows.index(row), self.program.families[row.family]
        if self._host is None:
            # Once an epoch for all rows: a look at one costs as much.
            parts = (self.state["weights"], *self.state["rest"])
            self._host = [np.asarray(each) for each in parts]
        weights, *rest = (each[at] for each in self._host)
        if family.averages or final:
            weights = self._evaluated_weights(row, final=final)[0].numpy()
        return self.program.layout.to_variables(weights, rest)

    def _slots(self, row: Row) -> State:
        """A row's slots, each (1, columns)."""
        at = [of_family(self.rows, row.family).index(row)]
        return dict(gather(self.state["slots"][row.family], at))


def _refuse_callbacks(loaded: LoadedStudy, attempt: Attempt) -> None:
    """Note which callbacks are taken out; raise CannotCarry where some are left."""
    if keep_callbacks(loaded, attempt):
        raise CannotCarry(HAS_CALLBACKS)


def _searched_hyper(loaded: LoadedStudy, setting: Setting) -> frozenset[str]:
    """The hyperparameters of this optimizer that the study searches."""
    asked = loaded.definition.effective_space().hyper.get(setting.optimizer, {})
    searched = {
        name for name, value in asked.items() if not isinstance(value, int | float)
    }
    decay = {"weight_decay"} if "independent_weight_decay" in asked else set()
    return frozenset(searched | decay)
