"""The rows that train together: each an attempt, all of them one state on the device.

Rows join and leave between epochs; within one they go in step. Every row keeps its own epoch,
order, rates, divergence rule, progress and snapshots, so that what is said of a trial is what the
other engines say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from lrsearch.engine import _keras
from lrsearch.engine.callbacks import calls_begin
from lrsearch.engine.compiling import accumulation_of, inner, set_searched
from lrsearch.engine.data import Arrays, Split, permutation
from lrsearch.engine.families import COLUMNS, Family
from lrsearch.engine.fit import Run
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.program import Held, Pace
from lrsearch.engine.stacked import StackedProgram, State
from lrsearch.engine.watching import Stop, WatchCallback
from lrsearch.engine.ways import HAS_CALLBACKS, CannotCarry
from lrsearch.space import rates
from lrsearch.values import (
    Outcome,
    Progress,
    Save,
    Setting,
    Snapshot,
    Status,
    TrialSpec,
    Verdict,
    Watch,
)

_SEARCHED_RATE = 1e-3  # stands in the optimizer's variable; the rows' rates come from their tables


class RowWatch(WatchCallback):
    """Takes its snapshots of a row."""

    row: Row
    stack: Stack

    told_to_stop = False  # a study with callbacks is not vectorized
    within = False  # the stack keeps the state of the last epoch's end until the next

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._kept = (self.track.epoch, self.updates, self.meta())

    def snapshot(self) -> Snapshot:
        """At the last epoch's end, also within the next."""
        now = (self.track.epoch, self.updates, self.meta())
        epoch, step, meta = self._kept if self._kept[0] == self.track.epoch else now
        return Snapshot(epoch=epoch, step=step, arrays=self.stack.arrays(self.row), meta=meta)


class RowRun(Run):
    """One attempt as a row of a stack."""

    engine = "vectorized"
    watcher = RowWatch

    def __init__(
        self, loaded: LoadedStudy, spec: TrialSpec, stack: Stack, watch: Watch, save: Save
    ) -> None:
        super().__init__(loaded, spec)
        self.began = time.monotonic()
        self.stack = stack
        definition = self.definition
        self.model = self._fresh(kernels=stack.program.draws)
        _keras.build_layers(self.model, stack.program.sample)
        self.seed_state = _keras.seed_state().numpy()  # before another row's seeds take its place
        self.accumulation = accumulation_of(self.model, definition)
        total = self.loaded.total_steps(spec.setting.batch_size, self.accumulation)
        set_searched(
            self.model,
            spec.setting,
            total_steps=total,
            accumulation=self.accumulation,
            learning_rate=_SEARCHED_RATE,
        )
        self.table = self._table(total)
        self.watching: Any = self._watcher(total, watch, save)

    def note_callbacks(self) -> None:
        """Note what was taken out.

        Raises CannotCarry where some are left: nobody calls them in a row.
        """
        if self._users_callbacks():
            raise CannotCarry(HAS_CALLBACKS)

    def _table(self, total: int) -> np.ndarray:
        """The rate of every batch of the run, float64 (epochs * batches,)."""
        batches = self.definition.epochs * self.stack.program.steps
        update = np.minimum(np.arange(batches) // self.accumulation, total - 1)
        return rates(self.spec.setting, total)[update]

    def order(self, epoch: int) -> np.ndarray:
        """This epoch's examples, int32 (examples,)."""
        examples = self.stack.program.train_data.examples
        order = (
            permutation(self.spec.seed, epoch, examples)
            if self.definition.shuffle
            else np.arange(examples)
        )
        return order.astype(np.int32)

    def _evaluate(self, split: Split, *, steps: int | None = None) -> dict[str, float]:
        del steps
        assert isinstance(split, Arrays)
        return self.stack.tested(self.stack.row_of(self), split)


@dataclass(eq=False)
class Row:
    """An attempt in a stack."""

    run: RowRun
    family: int  # its place among the program's families
    hyper: np.ndarray  # float64 (1, varying)
    stop: Stop | None = None  # why it ended within an epoch


class Stack:
    """See the module. One program's rows, and their state."""

    def __init__(self, loaded: LoadedStudy, program: StackedProgram) -> None:
        self.loaded, self.program = loaded, program
        self.rows: list[Row] = []
        self.state: State | None = None
        self.pace = Pace()
        self._families: dict[Any, int] = {}
        self._tests: dict[int, Held] = {}

    # -- joining and leaving -----------------------------------------------------------------------------------------

    def add(self, specs: Sequence[TrialSpec], watch: Watch, save: Save) -> None:
        """Let attempts join; an exception leaves the stack as it was."""
        state, before, families = self.state, self.rows, len(self.program.families)
        try:
            runs = [RowRun(self.loaded, spec, self, watch, save) for spec in specs]
            for run in runs:
                run.note_callbacks()
            rows = [self._row(run) for run in runs]
            self._join(rows, [self._begun(row) for row in rows])
        except BaseException:
            self.state, self.rows = state, before
            del self.program.families[families:]  # the state has no slots for them
            self._families = {
                key: place for key, place in self._families.items() if place < families
            }
            raise

    def _row(self, run: RowRun) -> Row:
        family = self._family(run)
        hyper = self.program.families[family].hyper([inner(run.model.optimizer)])
        row = Row(run=run, family=family, hyper=hyper)
        run.watching.row, run.watching.stack = row, self
        return row

    def _family(self, run: RowRun) -> int:
        """The place of the row's family; a structure that was not seen before becomes a new one,
        built on the kept model.
        """
        setting = run.spec.setting
        varying = varying_of(self.loaded, setting)
        fixed = {name: value for name, value in setting.hyper.items() if name not in varying}
        decays = bool(inner(run.model.optimizer).weight_decay)
        key = (
            setting.optimizer,
            tuple(sorted(fixed.items())),
            decays,
            setting.hyper.get("momentum", 0.0) == 0.0,
        )
        if key not in self._families:
            model, program = self.program.model, self.program
            total = self.loaded.total_steps(setting.batch_size, run.accumulation)
            set_searched(
                model,
                setting,
                total_steps=total,
                accumulation=run.accumulation,
                learning_rate=_SEARCHED_RATE,
            )
            model.optimizer.build(program.trainable)
            optimizer = inner(model.optimizer)
            columns = [
                name
                for name in COLUMNS
                if name in varying and getattr(optimizer, name, None) is not None
            ]
            program.families.append(Family(optimizer, program.trainable, columns))
            self._families[key] = len(program.families) - 1
        return self._families[key]

    def _begun(self, row: Row) -> tuple[np.ndarray, list[np.ndarray], dict[str, np.ndarray]]:
        """A new row's weights, rest and slots: fresh ones, or those of its checkpoint."""
        run, family, program = row.run, self.program.families[row.family], self.program
        weights, rest = program.begin(run.model, run.seed_state)
        run.model = None  # its start values are all that was wanted
        snapshot = run.spec.resume
        if snapshot is None:
            return weights, rest, family.begin(run.spec.setting, weights)
        run.track.resume(snapshot)
        weights, rest = program.from_arrays(snapshot.arrays)
        held = {
            int(name.split("/")[1]): each
            for name, each in snapshot.arrays.items()
            if name.startswith("optimizer/")
        }
        return weights, rest, family.restored(held)

    def _join(self, rows: Sequence[Row], begun: Sequence[tuple[Any, Any, Any]]) -> None:
        old, families = self.state, range(len(self.program.families))
        weights = tf.concat(
            [*([old["weights"]] if old else []), *(each for each, _, _ in begun)], axis=0
        )
        rest = [
            tf.concat(
                [*([old["rest"][place]] if old else []), *(each[place] for _, each, _ in begun)],
                axis=0,
            )
            for place in range(len(self.program.rest))
        ]
        slots = []
        for family in families:
            new = [
                state
                for row, (_, _, state) in zip(rows, begun, strict=True)
                if row.family == family
            ]
            known = [old["slots"][family]] if old and family < len(old["slots"]) else []
            slots.append(self._concatenated(family, [*known, *new]))
        self.state = {"weights": weights, "rest": rest, "slots": slots}
        self.rows = [*self.rows, *rows]
        # stable: slots are in this order
        order = sorted(range(len(self.rows)), key=lambda place: self.rows[place].family)
        self._keep(order)

    def _concatenated(self, family: int, states: Sequence[Any]) -> dict[str, Any]:
        own = self.program.families[family]
        empty = {
            name: np.zeros((0, own.columns(name)), cell.numpy().dtype)
            for name, cell in own.cells.items()
        }
        return {
            name: tf.concat([empty[name], *(each[name] for each in states)], axis=0)
            for name in own.cells
        }

    def _keep(self, places: Sequence[int]) -> None:
        """Only these rows, in this order; the slots' rows are in the order of their families
        already.
        """
        assert self.state is not None
        kept = {id(self.rows[place]) for place in places}
        slots = []
        for family, state in enumerate(self.state["slots"]):
            mine = [row for row in self.rows if row.family == family]
            within = np.array(
                [place for place, row in enumerate(mine) if id(row) in kept], np.int64
            )
            slots.append({name: tf.gather(each, within) for name, each in state.items()})
        chosen = np.array(places, np.int64)
        self.state = {
            "weights": tf.gather(self.state["weights"], chosen),
            "rest": [tf.gather(each, chosen) for each in self.state["rest"]],
            "slots": slots,
        }
        self.rows = [self.rows[place] for place in places]

    # -- training ----------------------------------------------------------------------------------------------------

    def epoch(self) -> Iterator[Outcome]:
        """One epoch of every row; yields those that ended with it or within."""
        self._train()
        ended = [row for row in self.rows if row.stop is not None]
        outcomes = [self._outcome(row) for row in ended]
        if ended:
            self._keep([place for place, row in enumerate(self.rows) if row.stop is None])
        yield from outcomes

    def _train(self) -> None:
        program, rows = self.program, self.rows
        order = np.stack([row.run.order(row.run.track.epoch) for row in rows])
        table = np.stack([self._rates(row) for row in rows])
        given = (self._counts(), self._hyper(), order)
        for row in rows:
            row.run.watching.on_epoch_begin(row.run.track.epoch)
        state = {**self._checked_state(), "metrics": program.unmetered(len(rows))}
        place, whole = 0, program.full_steps
        while place < whole and any(row.stop is None for row in rows):
            count = min(self.pace.batches, whole - place)
            began = time.monotonic()
            state, losses = program.train(state, *given, place, table[:, place : place + count])
            self.pace.learn(count, time.monotonic() - began)
            self._told(place, losses)
            place += count
        if any(row.stop is None for row in rows):
            state, losses, logs = program.end_epoch(state, *given, table[:, whole:])
            self._told(whole, losses)
            self.state = {name: each for name, each in state.items() if name != "metrics"}
            self._ended(logs)

    def _told(self, place: int, losses: np.ndarray) -> None:
        """What `fit` would tell each row's watcher after each of these batches, until it has to
        stop.
        """
        for row, own in zip(self.rows, losses.T.tolist(), strict=True):
            if row.stop is not None:
                continue
            tell = row.run.watching.on_train_batch_end
            try:
                for offset, loss in enumerate(own):
                    tell(place + offset, {"loss": loss})
            except Stop as stop:
                row.stop = stop

    def _ended(self, logs: Sequence[dict[str, float]]) -> None:
        """What `fit` would tell them at the epoch's end."""
        for row, own in zip(self.rows, logs, strict=True):
            if row.stop is not None:
                continue
            try:
                row.run.watching.on_epoch_end(row.run.track.epoch, own)
            except Stop as stop:
                row.stop = stop
            else:
                if row.run.track.epoch >= self.loaded.definition.epochs:
                    row.stop = Stop(Status.COMPLETE, "")

    def _outcome(self, row: Row) -> Outcome:
        assert row.stop is not None
        calls_begin(self.loaded, row.run.spec)
        return row.run.concluded(row.stop.status, row.run.began, reason=row.stop.reason)

    def rehearse(self, specs: Sequence[TrialSpec]) -> tuple[list[Row], State]:
        """Rows as they would begin, and their state, to be timed; none of them stays, but their
        families do. Only while nobody trains here.
        """

        def keep(progress: Progress) -> Verdict:
            del progress
            return Verdict.KEEP

        runs = [RowRun(self.loaded, spec, self, keep, lambda _place, _take: None) for spec in specs]
        rows = [self._row(run) for run in runs]
        self._join(rows, [self._begun(row) for row in rows])
        rows, state = self.rows, self._checked_state()
        self.rows, self.state = [], None
        return rows, state

    # -- a row's own ---------------------------------------------------------------------------------------------------

    def row_of(self, run: RowRun) -> Row:
        return next(row for row in self.rows if row.run is run)

    def arrays(self, row: Row) -> dict[str, np.ndarray]:
        """A row's whole state, as every engine's snapshots name it."""
        state, place = self._checked_state(), self.rows.index(row)
        family = self.program.families[row.family]
        rest = [each[place].numpy() for each in state["rest"]]
        own = family.snapshot(self._slots(row))
        found = self.program.model_arrays(state["weights"][place].numpy(), rest)
        return (
            found
            | {f"optimizer/{name}": value for name, value in own.items()}
            | {"seed/0": rest[-1]}
        )

    def tested(self, row: Row, split: Arrays) -> dict[str, float]:
        """A finished row's logs on another split, at the weights that it ends with."""
        if id(split) not in self._tests:
            self._tests[id(split)] = Held(split, None)
        state, place = self._checked_state(), self.rows.index(row)
        family, slots = self.program.families[row.family], self._slots(row)
        weights = family.finalized(state["weights"][place : place + 1], slots)
        weights = family.evaluated(weights, slots, row.hyper)
        rest = [each[place : place + 1] for each in state["rest"]]
        return self.program.evaluate(weights, rest, self._tests[id(split)])[0]

    def _slots(self, row: Row) -> dict[str, Any]:
        place = [each for each in self.rows if each.family == row.family].index(row)
        return {
            name: each[place : place + 1]
            for name, each in self._checked_state()["slots"][row.family].items()
        }

    def _rates(self, row: Row) -> np.ndarray:
        begin = row.run.track.epoch * self.program.steps
        return row.run.table[begin : begin + self.program.steps]

    def _counts(self) -> list[int]:
        return [
            sum(row.family == family for row in self.rows)
            for family in range(len(self.program.families))
        ]

    def _hyper(self) -> list[np.ndarray]:
        return [
            np.concatenate(
                [
                    np.zeros((0, len(family.varying))),
                    *(row.hyper for row in self.rows if row.family == place),
                ]
            )
            for place, family in enumerate(self.program.families)
        ]

    def _checked_state(self) -> State:
        assert self.state is not None
        return self.state


def varying_of(loaded: LoadedStudy, setting: Setting) -> frozenset[str]:
    """The hyperparameters of this optimizer that the study searches."""
    asked = loaded.definition.effective_space().hyper.get(setting.optimizer, {})
    searched = {name for name, value in asked.items() if not isinstance(value, int | float)}
    return frozenset(
        searched | ({"weight_decay"} if "independent_weight_decay" in asked else set())
    )
