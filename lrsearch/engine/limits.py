"""Which engine can carry which trial: one table, asked once per model and once per attempt.

An engine hands a trial that meets one of its rows to the next engine: vectorized ->
graph -> fit. A row with a test is asked before the training. A row without a test shows
only while the model is built, traced or trained: `CannotCarry` then names the row.
`fit` carries whatever `compiling` lets pass. docs/guide.md prints the table; this
module knows nothing of graphs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrsearch.definition import StudyDefinition
from lrsearch.engine._keras_model import asked_for_jit, has_own, own_loop, strategy_of
from lrsearch.engine._keras_optimizer import inner, rate_is_function
from lrsearch.engine._keras_rules import ADAPTERS
from lrsearch.engine._keras_state import cudnn_layers, kernel_draws, other_variables
from lrsearch.engine.callbacks import class_names, watches_batches
from lrsearch.engine.data import Arrays, Data, Stream
from lrsearch.engine.device_memory import has_gpu, read_memory
from lrsearch.engine.types import Callback, Function, Model, Variable
from lrsearch.space import OPTIMIZERS
from lrsearch.values import TrialSpec

MOST_BYTES = 4 * 2**30  # of arrays on the device; larger arrays stream
# arrays may take this part of a GPU where nobody knows what a step takes
_SHARE_OF_GPU = 8
# times the first step's memory that a training is expected to take
STEPS_OF_MEMORY = 1.5


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A fresh model as the user compiled it, before the searched optimizer takes its place."""

    definition: StudyDefinition
    model: Model
    yours: bool = False  # the model keeps the user's own optimizer
    # classes of the callbacks that the study's searched trials keep
    callbacks: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class AttemptFacts:
    """One attempt, with its data and with the user's callbacks that it calls."""

    definition: StudyDefinition
    spec: TrialSpec
    data: Data
    callbacks: Sequence[Callback] = ()
    step_bytes: int = 0  # of `Findings`


Facts = TrialSpec | ModelFacts | AttemptFacts
_Test = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Limit:
    """One thing that an engine cannot carry."""

    engines: tuple[str, ...]
    reason: str  # for a person; a word in braces stands for what the test returns
    facts: type | None = None  # what the test reads; None where no test can tell
    test: _Test = bool

    def explain(self, detail: object) -> str:
        """The reason, with the detail in its place."""
        return re.sub(r"\{\w+\}", lambda _: str(detail), self.reason)


class CannotCarry(Exception):
    """This engine cannot train this model or attempt; the text is the limit's reason."""

    def __init__(self, limit: Limit, detail: object = "") -> None:
        super().__init__(limit.explain(detail))
        self.limit = limit


def reason_against(engine: str, facts: Facts) -> str:
    """Explain why this engine cannot carry what these facts describe; empty where it can."""
    try:
        check(engine, facts)
    except CannotCarry as error:
        return str(error)
    return ""


def check(engine: str, facts: Facts) -> None:
    """Raise CannotCarry for the first row of the table that these facts meet."""
    for limit in LIMITS:
        asked = engine in limit.engines and limit.facts is type(facts)
        if asked and (detail := limit.test(facts)):
            raise CannotCarry(limit, detail)


def check_graph(concrete: Function, known: Iterable[Variable]) -> None:
    """Raise CannotCarry for a traced function with state that no trial could begin anew.

    `known` are the Keras variables that begin anew with every trial.
    """
    if drawn := kernel_draws(concrete):
        raise CannotCarry(KERNEL_STATE, drawn[0])
    if others := other_variables(concrete, known):
        raise CannotCarry(UNKNOWN_VARIABLE, others[0])


def check_rows(concrete: Function) -> None:
    """Raise CannotCarry for a traced function of rows with a layer that cuDNN runs."""
    if cudnn_layers(concrete):
        raise CannotCarry(CUDNN_LAYER)


def check_same_model(kept: Iterable[Variable], fresh: Iterable[Variable]) -> None:
    """Raise CannotCarry where a fresh model's variables are not those of the kept one."""
    if [tuple(each.shape) for each in kept] != [tuple(each.shape) for each in fresh]:
        raise CannotCarry(OTHER_MODEL)


def fits_device(data: Data, step_bytes: int = 0) -> bool:
    """Whether the arrays of training and validation may lie on the device together.

    Beside them a GPU must have room for training: its first step took `step_bytes`, 0
    if unknown.
    """
    most: float = MOST_BYTES
    if has_gpu():
        limit = read_memory().limit
        left = (
            (limit - STEPS_OF_MEMORY * step_bytes) / 2
            if step_bytes
            else limit / _SHARE_OF_GPU
        )
        most = min(most, left)
    return sum(split.nbytes for split in _arrays(data)) <= most


# -- tests that need more than an expression -------------------------------------------


def _arrays(data: Data) -> list[Arrays]:
    return [each for each in (data.train, data.validation) if isinstance(each, Arrays)]


def _matrix_optimizer(spec: TrialSpec) -> str:
    known = OPTIMIZERS.get(spec.setting.optimizer)
    return "" if known and known.keras in ADAPTERS else spec.setting.optimizer


def _streams(facts: AttemptFacts) -> bool:
    data = facts.data
    arrays = isinstance(data.train, Arrays) and isinstance(data.validation, Arrays)
    return not arrays or not fits_device(data, facts.step_bytes)


def _has_texts(facts: AttemptFacts) -> bool:
    return not all(each.numeric for each in _arrays(facts.data))


def _weighted_twice(facts: AttemptFacts) -> bool:
    train = facts.data.train
    weighted = isinstance(train, Arrays) and train.weight is not None
    return weighted and bool(facts.definition.class_weight)


def _scales_loss(facts: ModelFacts) -> bool:
    optimizer = facts.model.optimizer
    return inner(optimizer) is not optimizer or bool(optimizer.loss_scale_factor)


def _sets_steps(facts: ModelFacts) -> bool:
    return bool(facts.definition.steps_per_epoch or facts.definition.validation_steps)


def _has_own(method: str) -> _Test:
    return lambda facts: has_own(facts.model, method)


def _object_has_own_step(facts: ModelFacts) -> bool:
    return not {"train_step", "test_step"}.isdisjoint(vars(facts.model))


def _strategy(facts: ModelFacts) -> str:
    strategy = strategy_of(facts.model)
    return "" if strategy is None else type(strategy).__name__


def _own_loop(facts: ModelFacts) -> str:
    return own_loop(facts.model)


def _computes_rate(facts: ModelFacts) -> bool:
    return facts.yours and rate_is_function(inner(facts.model.optimizer))


# -- the table -------------------------------------------------------------------------

_VECTORIZED, _GRAPH, _BOTH = ("vectorized",), ("graph",), ("vectorized", "graph")

# Rows that an engine names where it meets their case.
LOST_BEFORE = Limit(
    _VECTORIZED, "its worker was lost before", TrialSpec, lambda spec: spec.alone
)
HAS_CALLBACKS = Limit(
    _VECTORIZED, "the study has callbacks", AttemptFacts, lambda facts: facts.callbacks
)
MIXED_TYPES = Limit(_VECTORIZED, "the trained weights are of several types ({types})")
CONSTRAINTS = Limit(_VECTORIZED, "some weights have constraints")
SETS_WEIGHTS = Limit(_VECTORIZED, "the model sets trained weights itself")
NO_GRADIENT = Limit(_VECTORIZED, "some trained weights have no gradient")
SPARSE_GRADIENT = Limit(
    _VECTORIZED,
    "an embedding's gradient is sparse, which Keras' optimizers square piece by piece",
)
CHANGES_IN_EVALUATION = Limit(
    _VECTORIZED,
    "the model changes its state in evaluation, by random numbers or a counter",
)
CUDNN_LAYER = Limit(
    _VECTORIZED, "a recurrent layer runs by cuDNN on a GPU, which takes rows one by one"
)
STREAMS = Limit(
    _VECTORIZED,
    "the data does not fit on the device, or is a dataset",
    AttemptFacts,
    _streams,
)
ROWS_TOO_LARGE = Limit(_VECTORIZED, "the rows do not fit into memory together")
OTHER_MODEL = Limit(_BOTH, "build_model() does not build the same model twice")
KERNEL_STATE = Limit(
    _BOTH,
    "it draws from tf.random ({operation}), whose state no trial can begin anew; keras.random can",
)
UNKNOWN_VARIABLE = Limit(
    _BOTH, "it has a variable that Keras does not know of ({variable})"
)
TEXT_STREAM = Limit(_GRAPH, "the data is not numbers")
SETS_RATE = Limit(_GRAPH, "a callback sets the optimizer's rate")
GRAPHS_TOO_LARGE = Limit(_GRAPH, "the graphs do not fit into memory")


def _rows(
    facts: type, engines: tuple[str, ...], tests: Mapping[str, _Test]
) -> list[Limit]:
    return [Limit(engines, reason, facts, test) for reason, test in tests.items()]


LIMITS = (
    LOST_BEFORE,
    *_rows(
        TrialSpec,
        _VECTORIZED,
        {
            "yours is trained as it is": lambda spec: spec.yours,
            "{optimizer} looks at whole matrices": _matrix_optimizer,
            "build_model takes searched arguments": lambda spec: spec.setting.extra,
            "its fold is not the search's": lambda spec: spec.fold,
            "its checkpoint stands within an epoch": lambda spec: (
                spec.resume and spec.resume.batch
            ),
        },
    ),
    *_rows(
        ModelFacts,
        _VECTORIZED,
        {
            "the study has callbacks": lambda facts: facts.callbacks,
            "the model is built under a strategy": _strategy,
            "steps_per_epoch or validation_steps is set": _sets_steps,
            "the model has a train_step of its own": _has_own("train_step"),
            "the model has a test_step of its own": _has_own("test_step"),
            "the loss is scaled": _scales_loss,
            "compile asks for jit_compile": lambda facts: asked_for_jit(facts.model),
            "the model has compute_metrics of its own": _has_own("compute_metrics"),
            "the model has a step of its own": _object_has_own_step,
            "the model has a training loop of its own": _own_loop,
        },
    ),
    *_rows(
        ModelFacts,
        _GRAPH,
        {
            "the model is built under {strategy}": _strategy,
            "the learning rate is a function": _computes_rate,
        },
    ),
    Limit(
        _BOTH,
        "compile asks to run eagerly",
        ModelFacts,
        lambda facts: facts.model.run_eagerly,
    ),
    Limit(_GRAPH, "the model has a {part}() of its own", ModelFacts, _own_loop),
    Limit(
        _VECTORIZED,
        "the test split is a dataset",
        AttemptFacts,
        lambda facts: facts.spec.test_split and isinstance(facts.data.test, Stream),
    ),
    HAS_CALLBACKS,
    Limit(
        _GRAPH,
        "{callbacks} must be called at every batch",
        AttemptFacts,
        lambda facts: class_names(
            each for each in facts.callbacks if watches_batches(each)
        ),
    ),
    Limit(_BOTH, "the data is not numbers", AttemptFacts, _has_texts),
    Limit(
        _BOTH,
        "class_weight and sample weights are both given",
        AttemptFacts,
        _weighted_twice,
    ),
    STREAMS,
    *(
        MIXED_TYPES,
        CONSTRAINTS,
        SETS_WEIGHTS,
        NO_GRADIENT,
        SPARSE_GRADIENT,
        CHANGES_IN_EVALUATION,
    ),
    *(CUDNN_LAYER, ROWS_TOO_LARGE, OTHER_MODEL, KERNEL_STATE, UNKNOWN_VARIABLE),
    *(TEXT_STREAM, SETS_RATE, GRAPHS_TOO_LARGE),
)
"""Every row. Where several hold, the first one's reason is given."""
