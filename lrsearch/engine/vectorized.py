"""The engine `vectorized`: many trials in one graph, each a row with its own optimizer, rates, data
order and seeds.

Rows that end are filled again from the source at the next epoch. What cannot be a row (yours,
optimizers that look at whole matrices, a `train_step` of the user's, searched arguments of
`build_model`) is trained by `graph` between two epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import keras
import tensorflow as tf

from lrsearch.engine import _keras
from lrsearch.engine.blame import PASSING, blaming, end_fork
from lrsearch.engine.callbacks import kept_of, looked_at, users_callbacks
from lrsearch.engine.compiling import fresh_model, inner
from lrsearch.engine.contract import Engine
from lrsearch.engine.data import Arrays, Stream
from lrsearch.engine.families import ADAPTERS
from lrsearch.engine.graph import GraphEngine
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.program import CannotTrace
from lrsearch.engine.stack import Stack
from lrsearch.engine.stacked import StackedProgram
from lrsearch.errors import text_of
from lrsearch.space import OPTIMIZERS
from lrsearch.values import Outcome, Save, Source, TrialSpec, Watch

WIDTH = 16  # rows where nothing was measured
# a source that had nothing is not asked in every epoch: each time is a transaction
ASK_SECONDS = 1.0


class VectorizedEngine(Engine):
    """See the module; `width` is how many trials train at once."""

    name = "vectorized"

    def __init__(self, loaded: LoadedStudy, *, width: int = WIDTH) -> None:
        self.loaded, self.width = loaded, width
        self.graph = GraphEngine(loaded)
        self._stacks: dict[int | None, Stack] = {}  # by batch size
        self._apart: TrialSpec | None = None  # waits to be trained with nobody beside it
        self._ask_again = -math.inf  # monotonic: the source had nothing, and no row has ended since
        # why this study's model cannot be vectorized; "" while it can, None before a look
        self._refused: str | None = None

    @property
    def rows(self) -> int:
        """Trials in training now."""
        return sum(len(stack.rows) for stack in self._stacks.values())

    @blaming
    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Train what `source` hands out, up to `width` at a time; a spec that must train alone
        waits until the others ended.
        """
        while True:
            if self._apart is not None and not self.rows:
                apart, self._apart = self._apart, None
                yield self._alone(apart, "its worker was lost before", watch, save)
            if self._apart is None and (not self.rows or time.monotonic() >= self._ask_again):
                yield from self._fill(source, watch, save)
            if not self.rows and self._apart is None:
                return
            for stack in self._stacks.values():
                if stack.rows:
                    yield from self._epoch(stack, watch, save)

    def _fill(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Take attempts until all rows are taken or there is none now; what cannot be a row is
        trained at once.
        """
        joining: dict[int | None, list[TrialSpec]] = {}
        while self._apart is None and self.rows + sum(map(len, joining.values())) < self.width:
            spec = source()
            if spec is None:
                self._ask_again = time.monotonic() + ASK_SECONDS
                break
            why = (
                cannot_stack(spec)
                or _asked(partial(self._cannot_test, spec))
                or self.why_not()
                or self._called_upon(spec)
            )
            if spec.alone:
                self._apart = spec
            elif why:
                yield self._alone(spec, why, watch, save)
            else:
                joining.setdefault(spec.setting.batch_size, []).append(spec)
        for size, specs in joining.items():
            yield from self._join(size, specs, watch, save)

    def _cannot_test(self, spec: TrialSpec) -> str:
        """Why a retest cannot be a row beside others, or empty: rows are tested on arrays."""
        streams = spec.test_split and isinstance(
            self.loaded.data(spec.setting.batch_size).test, Stream
        )
        return "the test split is a dataset" if streams else ""

    def _called_upon(self, spec: TrialSpec) -> str:
        """Why this trial's own callbacks keep it from being a row, or empty: nobody calls them
        there.
        """
        rates = self.loaded.findings.rate_callbacks

        def asked() -> str:
            kept, _ = kept_of(users_callbacks(self.loaded, spec), yours=False, setting_rates=rates)
            return "the study has callbacks" if kept else ""

        return _asked(asked)

    def why_not(self) -> str:
        """Why this study's trials cannot be rows, or empty."""
        if self._refused is None:
            self._refused = _asked(lambda: model_cannot_stack(self.loaded))
        return self._refused

    def _join(
        self, size: int | None, specs: list[TrialSpec], watch: Watch, save: Save
    ) -> Iterator[Outcome]:
        try:
            self.stack(size).add(specs, watch, save)
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - the study's own code may raise anything; `fit` tells it better
            end_fork(error)
            self._refused = reason_of(error)
            for spec in specs:
                yield self._alone(spec, self._refused, watch, save)

    def _epoch(self, stack: Stack, watch: Watch, save: Save) -> Iterator[Outcome]:
        """An epoch of a stack; where it cannot be traced or does not fit, its rows begin again one
        by one.
        """
        try:
            outcomes = list(stack.epoch())
        except tf.errors.ResourceExhaustedError:
            self.width = max(1, self.width // 2)
            yield from self._dissolve(
                stack, "the rows do not fit into memory together", watch, save
            )
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            end_fork(error)
            self._refused = reason_of(error)
            yield from self._dissolve(stack, self._refused, watch, save)
        else:
            self._ask_again = -math.inf if outcomes else self._ask_again
            yield from outcomes

    def _dissolve(self, stack: Stack, why: str, watch: Watch, save: Save) -> Iterator[Outcome]:
        specs = [row.run.spec for row in stack.rows]
        self._stacks = {size: each for size, each in self._stacks.items() if each is not stack}
        for spec in specs:
            yield self._alone(spec, why, watch, save)

    def _alone(self, spec: TrialSpec, why: str, watch: Watch, save: Save) -> Outcome:
        return self.graph.attempt(spec, watch, save, notes=(f"trained alone: {why}",))

    def stack(self, size: int | None) -> Stack:
        """The stack of trials with this batch size. Raises CannotTrace where there can be none."""
        if size not in self._stacks:
            data = self.loaded.data(size)
            if any(
                isinstance(split, Arrays) and not split.numeric
                for split in (data.train, data.validation)
            ):
                raise CannotTrace("the data is not numbers")
            train, validation = self.graph.on_device(data)
            if train is None or validation is None:
                raise CannotTrace("the data does not fit on the device, or is a dataset")
            _keras.set_seeds(self.loaded.definition.seed, kernels=False)
            before = _keras.draws_of_tensorflow()
            model = fresh_model(self.loaded.definition, {})
            draws = before != _keras.draws_of_tensorflow()
            program = StackedProgram(model, train, validation, batch_size=size, draws=draws)
            self._stacks[size] = Stack(self.loaded, program)
        return self._stacks[size]


def cannot_stack(spec: TrialSpec) -> str:
    """Why this attempt cannot be a row beside others, or empty."""
    setting = spec.setting
    known = OPTIMIZERS.get(setting.optimizer)
    checks = {
        "yours is trained as it is": spec.yours,
        f"{setting.optimizer} looks at whole matrices": known is None
        or known.keras not in ADAPTERS,
        "build_model takes searched arguments": bool(setting.extra),
        "its checkpoint stands within an epoch": spec.resume is not None and spec.resume.batch > 0,
    }
    return next((reason for reason, holds in checks.items() if holds), "")


def model_cannot_stack(loaded: LoadedStudy) -> str:
    """Why this study cannot train many rows at once, or empty. Builds a model."""
    definition = loaded.definition
    model = fresh_model(definition, {})
    kind, optimizer = type(model), inner(model.optimizer)
    checks = {
        "the study has callbacks": bool(_expected_callbacks(loaded)),
        "the model is built under a strategy": _keras.strategy_of(model) is not None,
        "steps_per_epoch or validation_steps is set": definition.steps_per_epoch is not None
        or definition.validation_steps is not None,
        "the model has a train_step of its own": kind.train_step is not keras.Model.train_step,
        "the model has a test_step of its own": kind.test_step is not keras.Model.test_step,
        "the loss is scaled": isinstance(model.optimizer, _keras.LossScaleOptimizer)
        or bool(optimizer.loss_scale_factor),
        "compile asks for jit_compile": _keras.asked_for_jit(model),
        "the model has compute_metrics of its own": _keras.own_metrics(model),
        "the model has a step of its own": not {"train_step", "test_step"}.isdisjoint(vars(model)),
        "the model has a training loop of its own": bool(_keras.own_loop(model)),
        "compile asks to run eagerly": bool(model.run_eagerly),
    }
    return next((reason for reason, holds in checks.items() if holds), "")


def _expected_callbacks(loaded: LoadedStudy) -> tuple[str, ...]:
    """The callbacks that searched trials keep, as the inspection found; where nobody looked, by a
    look.
    """
    found = loaded.findings.callbacks
    if found is not None or loaded.definition.callbacks is None:
        return found or ()
    with looked_at(loaded.definition, loaded.definition.effective_space().references()[0]) as users:
        kept, _ = kept_of(users, yours=False, setting_rates=loaded.findings.rate_callbacks)
    return tuple(type(each).__name__ for each in kept)


def _asked(question: Callable[[], str]) -> str:
    """Its answer; where the study's code fails at it, that is why rows cannot train together."""
    try:
        return question()
    except PASSING:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        end_fork(error)
        return reason_of(error)


def reason_of(error: BaseException) -> str:
    """One line of why many rows cannot train together."""
    text = text_of(error).strip().splitlines()
    if isinstance(error, CannotTrace):
        return text[0]
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
