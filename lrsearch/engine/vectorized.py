"""The engine `vectorized`: many trials in one graph, each a row.

A row has its own optimizer, rates, data order and seeds. At the end of an epoch the
source fills the places of rows that ended. A trial that cannot be a row (yours,
optimizers that look at whole matrices, a `train_step` of the user's, searched arguments
of `build_model`) is trained by `graph` between two epochs.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import tensorflow as tf

from lrsearch.engine import limits
from lrsearch.engine.attempt_start import kept_model
from lrsearch.engine.blame import PASSING, Observer, end_fork, guard
from lrsearch.engine.calibration import Calibration, TimedStack, time_mixed, timed_specs
from lrsearch.engine.callbacks import kept_of, make_temporary_callbacks, users_callbacks
from lrsearch.engine.compiling import fresh_model
from lrsearch.engine.contract import Engine, Figures
from lrsearch.engine.failure import one_line
from lrsearch.engine.graph import GraphEngine
from lrsearch.engine.limits import AttemptFacts, ModelFacts
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.stack import Stack
from lrsearch.engine.stacked import StackedProgram
from lrsearch.engine.types import Callback
from lrsearch.values import Outcome, Save, Source, TrialSpec, Watch

WIDTH = 16  # rows where nothing was measured
# A source that had nothing is not asked in every epoch: each time is a transaction.
ASK_SECONDS = 1.0


class VectorizedEngine(Engine):
    """See the module; `width` is how many trials train at once."""

    name = "vectorized"

    def __init__(self, loaded: LoadedStudy, *, width: int = WIDTH) -> None:
        self.loaded, self.width = loaded, width
        self.graph = GraphEngine(loaded)
        self._stacks: dict[int | None, Stack] = {}  # by batch size
        # waits to be trained with nobody beside it
        self._apart: TrialSpec | None = None
        # Monotonic seconds: the source had nothing, and no row has ended since.
        self._ask_again = -math.inf
        # Why this study's model cannot be vectorized; "" while it can, None before a
        # look.
        self._refused: str | None = None

    @property
    def rows(self) -> int:
        """Trials in training now."""
        return sum(len(stack.rows) for stack in self._stacks.values())

    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, up to `width` at a time.

        A trial that cannot be a row is trained at once. A trial that must train alone
        waits until the others have ended.
        """
        with guard(watch, save) as observer:
            while True:
                if self._apart is not None and not self.rows:
                    apart, self._apart = self._apart, None
                    yield self._train_alone(apart, limits.LOST_BEFORE.reason, observer)
                joining: list[TrialSpec] = []
                while self._asks(len(joining)):
                    spec = source()
                    if spec is None:
                        self._ask_again = time.monotonic() + ASK_SECONDS
                        break
                    why = self.reason_against(spec, self._callbacks)
                    if spec.alone:
                        self._apart = spec
                    elif why:
                        yield self._train_alone(spec, why, observer)
                    else:
                        joining.append(spec)
                yield from self._join(joining, observer)
                # Attempts that could not join were trained alone: the source may have
                # more.
                if not self.rows and not joining and self._apart is None:
                    return
                for stack in [each for each in self._stacks.values() if each.rows]:
                    yield from self._epoch(stack, observer)

    def _asks(self, joining: int) -> bool:
        """Whether there is room for another row, beside the rows that are joining."""
        early = self.rows and not joining and time.monotonic() < self._ask_again
        return self._apart is None and not early and self.rows + joining < self.width

    def time_steps(self) -> Figures:
        """Time rows of the reference settings; a trial alone where they cannot train together."""
        specs = [
            each for each in timed_specs(self.loaded) if not self.reason_against(each)
        ]
        if not specs:
            return self.graph.time_steps()
        chosen = Calibration(engine="vectorized", width=self.width, reason="")
        try:
            rows = TimedStack(self.stack(specs[0].setting.batch_size), specs)
            return asdict(time_mixed(chosen, self.loaded, rows))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as below
            end_fork(error)
            return {}

    # -- what cannot be a row ----------------------------------------------------------

    def reason_against(
        self,
        spec: TrialSpec,
        callbacks: Callable[[TrialSpec], list[Callback]] = lambda _: [],
    ) -> str:
        """Why this attempt cannot be a row beside others, or empty.

        `callbacks` gives the user's callbacks that would be called in the attempt.
        """

        def ask() -> str:
            data = self.loaded.data_of(spec)
            facts = AttemptFacts(
                definition=self.loaded.definition,
                spec=spec,
                data=data,
                callbacks=callbacks(spec),
                step_bytes=self.loaded.findings.step_bytes,
            )
            return limits.reason_against(self.name, facts)

        return (
            limits.reason_against(self.name, spec)
            or self._reason_against_model()
            or _answer(ask)
        )

    def _reason_against_model(self) -> str:
        """Why this study's trials cannot be rows, or empty; asked once."""
        if self._refused is None:
            self._refused = _answer(
                lambda: limits.reason_against(self.name, _model_facts(self.loaded))
            )
        return self._refused

    def _callbacks(self, spec: TrialSpec) -> list[Callback]:
        """The user's callbacks that would be called in this attempt, were it trained alone."""
        rates = self.loaded.findings.rate_callbacks
        kept, _ = kept_of(
            users_callbacks(self.loaded, spec), yours=False, setting_rates=rates
        )
        return kept

    def _refuse(self, error: BaseException) -> str:
        """Train no rows of this study from now on; returns why."""
        end_fork(error)
        self._refused = one_line(error)
        return self._refused

    def _train_alone(self, spec: TrialSpec, why: str, observer: Observer) -> Outcome:
        return self.graph.train_one(spec, observer, notes=(f"trained alone: {why}",))

    # -- rows --------------------------------------------------------------------------

    def _join(
        self, specs: Sequence[TrialSpec], observer: Observer
    ) -> Iterator[Outcome]:
        """Let these attempts be rows; where they cannot, train each alone."""
        for size in dict.fromkeys(spec.setting.batch_size for spec in specs):
            own = [spec for spec in specs if spec.setting.batch_size == size]
            try:
                self.stack(size).add(own, observer)
            except PASSING:
                raise
            except BaseException as error:  # noqa: BLE001 - the study's own code may raise anything; `fit` reports it better
                why = self._refuse(error)
                yield from (self._train_alone(spec, why, observer) for spec in own)

    def _epoch(self, stack: Stack, observer: Observer) -> Iterator[Outcome]:
        """Train an epoch of a stack.

        Where the epoch cannot be traced or does not fit, its rows begin again one by
        one.
        """
        try:
            outcomes = stack.epoch()
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            why = self._give_up(error)
        else:
            self._ask_again = -math.inf if outcomes else self._ask_again
            yield from outcomes
            return
        # Outside the clause above: the error's frames have tensors of the stack.
        self._stacks = {
            size: each for size, each in self._stacks.items() if each is not stack
        }
        specs = stack.empty()
        gc.collect()
        for spec in specs:
            yield self._train_alone(spec, why, observer)

    def _give_up(self, error: BaseException) -> str:
        """Train fewer rows from now on, or none; returns why."""
        if not isinstance(error, tf.errors.ResourceExhaustedError):
            return self._refuse(error)
        self.width = max(1, self.width // 2)
        return limits.ROWS_TOO_LARGE.reason

    def stack(self, size: int | None) -> Stack:
        """The stack of trials with this batch size, whose data lie on the device."""
        if size not in self._stacks:
            train, validation = self.graph.on_device(self.loaded.data(size))
            if train is None or validation is None:
                raise limits.CannotCarry(limits.STREAMS)
            model, draws = kept_model(self.loaded, self.loaded.definition.seed, {})
            program = StackedProgram(
                model, train, validation, batch_size=size, draws=draws
            )
            self._stacks[size] = Stack(self.loaded, program)
        return self._stacks[size]


def _model_facts(loaded: LoadedStudy) -> ModelFacts:
    definition = loaded.definition
    model = fresh_model(definition, {})
    return ModelFacts(
        definition=definition, model=model, callbacks=_expected_callbacks(loaded)
    )


def _expected_callbacks(loaded: LoadedStudy) -> tuple[str, ...]:
    """The callbacks that searched trials keep: as the inspection found, or as a look finds now."""
    findings, definition = loaded.findings, loaded.definition
    if findings.callbacks is not None or definition.callbacks is None:
        return findings.callbacks or ()
    with make_temporary_callbacks(
        definition, definition.effective_space().references()[0]
    ) as users:
        kept, _ = kept_of(users, yours=False, setting_rates=findings.rate_callbacks)
    return tuple(type(each).__name__ for each in kept)


def _answer(ask: Callable[[], str]) -> str:
    """The answer to a question; where the study's code fails at it, the error is the answer."""
    try:
        return ask()
    except PASSING:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        end_fork(error)
        return one_line(error)
