"""Learns a study's facts before its first trial.

It loads the study, checks its data, and trains one real step. The facts are plain JSON,
for a parent that never imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrsearch.definition import StudyDefinition, fingerprint_of, recorded_of
from lrsearch.definition.loading import own_traceback
from lrsearch.definition.study import hint_of
from lrsearch.engine._keras_model import (
    build_layers,
    is_built,
    known_direction,
    output_names,
    scope_of,
    strategy_of,
)
from lrsearch.engine._keras_optimizer import decay_exclusions, inner
from lrsearch.engine._keras_state import seeds_now, set_seeds
from lrsearch.engine.arrays import digest
from lrsearch.engine.attempt import numbers_of
from lrsearch.engine.callbacks import kept_of, make_temporary_callbacks
from lrsearch.engine.compiling import (
    accumulation_of,
    carried_of,
    fresh_model,
    set_searched,
)
from lrsearch.engine.data import Arrays, Stream, sample_batch
from lrsearch.engine.device_memory import count_gpus, forget_peak, has_gpu, read_memory
from lrsearch.engine.failure import user_traceback
from lrsearch.engine.first_look import (
    LOOK_RATE,
    CallbackLook,
    StepLook,
    train_step,
    try_callbacks,
)
from lrsearch.engine.fold_inspection import find_folds
from lrsearch.engine.inspection_notes import (
    INEXACT,
    comparison_notes,
    device_notes,
    unkept_logs,
)
from lrsearch.engine.kept_weights import digest_weights
from lrsearch.engine.loaded import Findings, LoadedStudy
from lrsearch.engine.objective_bounds import Bounds, find_bounds, metrics_named
from lrsearch.engine.own_optimizer import (
    describe,
    own_optimizer,
    sample_rates,
    thin_out,
)
from lrsearch.engine.shared import forget_shared_layers, shared_layers
from lrsearch.engine.types import Model
from lrsearch.errors import InvalidValue, LrSearchError, StudyFileError, UnknownName
from lrsearch.jsonable import from_json, to_json
from lrsearch.space import keras_class
from lrsearch.values import Direction, Json, StudyFacts
from lrsearch.version import versions


def load_study(definition: StudyDefinition) -> LoadedStudy:
    """Load the study's data. Raises as `inspect_study` does."""
    return _load(LoadedStudy(definition=definition))


def open_study(
    definition: StudyDefinition,
    *,
    loaded: LoadedStudy | None = None,
    facts: StudyFacts | None = None,
) -> LoadedStudy:
    """Load the study to train it, by the `facts` of its inspection.

    Without facts the definition has to give the direction. What is `loaded` already is
    taken, unless it is a dataset, which the inspection's step may have moved on.
    """
    findings = loaded.findings if loaded is not None else Findings()
    if loaded is None or not loaded.replayable:
        loaded = LoadedStudy(definition=definition)
    loaded.findings = findings if facts is None else from_json(Findings, facts.findings)
    direction = definition.direction or (facts.direction if facts is not None else None)
    assert direction is not None
    loaded.direction = Direction(direction)
    return _load(loaded)


def inspect_study(
    definition: StudyDefinition, *, loaded: LoadedStudy | None = None
) -> StudyFacts:
    """Find all that a parent must know of the study; its data stays in `loaded`, where given.

    Raises InvalidValue and UnknownName for what the definition says, StudyFileError
    with the study's own traceback where its code fails.
    """
    for name in definition.effective_space().optimizers:
        keras_class(name)  # raises where this Keras does not have it
    forget_shared_layers(definition.build_model)
    loaded = _load(loaded or LoadedStudy(definition=definition))
    loaded.check_sizes()
    loaded.check_steps(loaded.first_size)
    try:
        return _find_facts(loaded)
    finally:
        shared_layers(definition.build_model).restore()


def _find_facts(loaded: LoadedStudy) -> StudyFacts:
    """Find what two models of the study, one step and its callbacks show."""
    definition = loaded.definition
    space = definition.effective_space()
    first, step, direction, bounds = _try_step(loaded)
    model, second = _start_model(loaded, definition.seed + 1)
    accumulation = accumulation_of(model, definition)
    total = loaded.total_steps(loaded.first_size, accumulation)
    # Before the searched optimizer takes the place of the user's.
    of_yours = _describe_yours(loaded, model, batches=total * accumulation)
    _check_executions(loaded, model.steps_per_execution)
    calls = _try_callbacks(loaded, model, step, total, accumulation)
    _check_objective(definition, step, calls)
    loaded.direction = direction or _direction(definition, model)
    findings = _find_for_workers(loaded, first, second, calls)
    with _study_code(definition):
        folds, ratio = find_folds(loaded, accumulation)
    loaded.findings = replace(findings, folds=folds, step_bytes=step.gpu_bytes)
    steps = {
        str(size): loaded.check_steps(size, accumulation) for size in space.batch_sizes
    }
    data = loaded.first_data
    exact = isinstance(data.train, Arrays)
    return StudyFacts(
        objective=definition.objective,
        direction=loaded.direction,
        bounds=bounds,
        metrics=tuple(_logs(step, calls)),
        epochs=definition.epochs,
        accumulation=accumulation,
        steps_per_epoch=steps,
        train_examples=data.train.examples,
        validation_examples=data.validation.examples,
        has_test=data.test is not None,
        parameters=int(model.count_params()) if model.built else 0,
        asked_rates=space.asked_rates,
        exact_order=exact,
        fingerprint=_fingerprint(loaded, second),
        folds=loaded.folds,
        fold_ratio=ratio,
        recorded=recorded_of(definition),
        versions=versions(),
        notes=(
            *calls.notes,
            *([] if exact else [INEXACT]),
            *step.notes,
            *comparison_notes(
                of_yours["yours"],
                loaded.findings,
                space,
                same_weights=first.weights == second.weights,
                averages=bool(of_yours["carried"].get("use_ema"))
                and "SwapEMAWeights" not in calls.kept,
            ),
            *device_notes(count_gpus(), strategy_of(model)),
            *unkept_logs(step, calls),
        ),
        findings=to_json(loaded.findings),
        **of_yours,
    )


def _describe_yours(
    loaded: LoadedStudy, model: Model, *, batches: int
) -> dict[str, Any]:
    """The facts of the user's own compile, over a run of so many batches."""
    base, optimizer = loaded.first_size, inner(model.optimizer)
    with _study_code(loaded.definition):
        rates = sample_rates(optimizer, batches)
    yours = describe(optimizer, rates=rates, batch_size=base)
    return {
        "yours": replace(yours, extra=loaded.first_setting.extra),
        "yours_rates": thin_out(rates),
        "carried": carried_of(model),
        "decay_exclusions": decay_exclusions(optimizer, model.trainable_variables),
        "own_optimizer": own_optimizer(model, steps=loaded.total_steps(base, 1)),
    }


@dataclass(frozen=True, kw_only=True)
class _Start:
    """What came of a seed when a model was built."""

    seeds: tuple[object, ...]  # the states of the random numbers
    shapes: tuple[Json, ...]  # of the variables, as build_model returns the model
    weights: str  # a digest of the trained ones


def _start_model(loaded: LoadedStudy, seed: int) -> tuple[Model, _Start]:
    """Build a model under a seed."""
    definition = loaded.definition
    set_seeds(seed, kernels=True)
    with _study_code(definition):
        model = fresh_model(definition, loaded.first_setting.extra)
    seeds = seeds_now()
    shapes = tuple(
        [list(each.shape), str(each.dtype), each.trainable] for each in model.weights
    )
    if not is_built(model):
        train = loaded.first_data.train
        with scope_of(model), _study_code(definition):
            build_layers(model, sample_batch(train, loaded.first_size))
    weights = digest_weights(model.trainable_variables)
    return model, _Start(seeds=seeds, shapes=shapes, weights=weights)


def _try_step(loaded: LoadedStudy) -> tuple[_Start, StepLook, Direction | None, Bounds]:
    """Train one step of a model; also shows which way the objective improves, and its bounds.

    Both come from this model: Keras makes metrics at the first step. The direction is
    None where the step does not log the objective. The model goes before another one is
    made: its optimizer's state may be large.
    """
    definition = loaded.definition
    forget_peak()
    before = read_memory().used
    model, start = _start_model(loaded, definition.seed)
    with _study_code(definition):
        step = train_step(model, loaded)
    if has_gpu():
        step = replace(step, gpu_bytes=int(read_memory().peak - before))
    logged = definition.objective in step.logs
    direction = _direction(definition, model) if logged else None
    return start, step, direction, find_bounds(definition.objective, model)


def _try_callbacks(
    loaded: LoadedStudy, model: Model, step: StepLook, total: int, accumulation: int
) -> CallbackLook:
    """Call the user's callbacks on a model that is compiled for a search."""
    definition, setting = loaded.definition, loaded.first_setting
    set_searched(
        model,
        setting,
        total_steps=total,
        accumulation=accumulation,
        learning_rate=LOOK_RATE,
    )
    if definition.callbacks is None:
        return CallbackLook()
    steps = loaded.steps_per_epoch(loaded.first_size)
    with (
        _study_code(definition),
        make_temporary_callbacks(definition, setting) as users,
    ):
        calls = try_callbacks(
            model, users, step.logs, epochs=definition.epochs, steps=steps
        )
        kept, notes = kept_of(users, yours=False, setting_rates=calls.rate_callbacks)
    return replace(calls, kept=tuple(type(each).__name__ for each in kept), notes=notes)


def _find_for_workers(
    loaded: LoadedStudy, first: _Start, second: _Start, calls: CallbackLook
) -> Findings:
    definition = loaded.definition
    seeds = zip(first.seeds, second.seeds, strict=True)
    # The digests of the first batch size are in the fingerprint.
    others = definition.effective_space().batch_sizes[1:]
    return Findings(
        fixed_seeds=any(one == other for one, other in seeds if one is not None),
        rate_callbacks=tuple(calls.rate_callbacks),
        callbacks=calls.kept,
        shared=tuple(shared_layers(definition.build_model).figures()),
        data={str(size): loaded.data(size).digests() for size in others}
        if definition.data_depends_on_batch
        else {},
    )


def _fingerprint(loaded: LoadedStudy, start: _Start) -> dict[str, Json]:
    """What must be equal on every worker: the definition, the model's variables and the data."""
    return {
        **fingerprint_of(loaded.definition),
        "model.variables": digest(list(start.shapes)),
        **{f"data.{name}": each for name, each in loaded.first_data.digests().items()},
        **({"data.folds": digest(dict(loaded.findings.folds))} if loaded.folds else {}),
    }


# -- checks ----------------------------------------------------------------------------


def _load(loaded: LoadedStudy) -> LoadedStudy:
    with _study_code(loaded.definition):
        loaded.data(loaded.first_size)
    return loaded


def _logs(step: StepLook, calls: CallbackLook) -> dict[str, float]:
    """What an epoch logs, callbacks of the user's included."""
    return {**step.logs, **numbers_of(calls.logs)}


def _check_objective(
    definition: StudyDefinition, step: StepLook, calls: CallbackLook
) -> None:
    objective, names = definition.objective, tuple(_logs(step, calls))
    if objective in step.others:
        allowed = "a log of one number per epoch"
        fix = f"Log {objective!r} as a plain number, or name another log."
        raise InvalidValue("objective", got=objective, allowed=allowed, fix=fix)
    if objective not in names:
        fix = f"An epoch logs: {', '.join(names)}."
        raise UnknownName("metric for objective", got=objective, known=names, fix=fix)


def _check_executions(loaded: LoadedStudy, count: int) -> None:
    """Refuse several steps per execution that do not divide a given length of an epoch."""
    definition = loaded.definition
    train = isinstance(loaded.first_data.train, Stream)
    lengths = {
        "steps_per_epoch": definition.steps_per_epoch if train else None,
        "validation_steps": definition.validation_steps,
    }
    for name, steps in lengths.items():
        if steps is not None and steps % count:
            fix = f"Keras would run {-(-steps // count) * count} steps where {name} says {steps}."
            allowed = f"a divisor of {name}"
            raise InvalidValue(
                "steps_per_execution", got=count, allowed=allowed, fix=fix
            )


def _direction(definition: StudyDefinition, model: Model) -> Direction:
    """Which way the objective improves, by the definition or by Keras. Raises InvalidValue."""
    if definition.direction is not None:
        return Direction(definition.direction)
    name = definition.objective.removeprefix("val_")
    if name in {"loss", *(f"{output}_loss" for output in output_names(model))}:
        return Direction.MINIMIZE
    for metric in metrics_named(definition.objective, model):
        if (known := known_direction(metric)) is not None:
            return known
    allowed = "'minimize' or 'maximize' for this objective"
    fix = f"Keras does not know which way {definition.objective!r} improves."
    raise InvalidValue("direction", got=None, allowed=allowed, fix=fix)


@contextmanager
def _study_code(definition: StudyDefinition) -> Iterator[None]:
    """Turn an exception of the study's code within into a StudyFileError with its traceback."""
    try:
        yield
    except LrSearchError:
        raise
    except Exception as error:  # noqa: BLE001 - the study's code may raise anything
        path = getattr(
            getattr(definition.build_model, "__code__", None), "co_filename", ""
        )
        text = own_traceback(error, Path(path)) if path else user_traceback(error)
        first = str(error).splitlines()[0] if str(error) else ""
        message = f"the study's own code failed: {type(error).__name__}: {first}"
        raise StudyFileError(message, fix=hint_of(error), traceback_text=text) from None
