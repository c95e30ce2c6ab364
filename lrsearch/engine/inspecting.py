"""Learns a study's facts before its first trial.

It loads the study, checks its data, and trains one real step. What it finds is plain JSON, for a
parent that never imports TensorFlow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras import ops

from lrsearch.definition import StudyDefinition, fingerprint_of, recorded_of
from lrsearch.definition.loading import own_traceback
from lrsearch.definition.study import hint_of
from lrsearch.engine._keras_model import (
    build_layers,
    is_built,
    known_direction,
    output_names,
    scope_of,
)
from lrsearch.engine._keras_optimizer import decay_exclusions, inner
from lrsearch.engine._keras_state import seeds_now, set_seeds
from lrsearch.engine.attempt import numbers_of
from lrsearch.engine.callbacks import kept_of, looked_at
from lrsearch.engine.compiling import accumulation_of, carried_of, fresh_model, set_searched
from lrsearch.engine.data import Arrays, Stream, sample_batch
from lrsearch.engine.failure import user_traceback
from lrsearch.engine.loaded import Findings, LoadedStudy
from lrsearch.engine.looking import LOOK_RATE, Called, Step, call_callbacks, first_step
from lrsearch.engine.own_optimizer import own_optimizer
from lrsearch.engine.same_start import (
    SPLITS,
    digest,
    digests_of,
    digests_of_other_sizes,
    first_batch_size,
    first_extra,
)
from lrsearch.engine.shared import forget_shared_layers, shared_layers
from lrsearch.engine.types import Model
from lrsearch.engine.yours import describe, kept_rates, look_at_rates
from lrsearch.errors import InvalidValue, LrSearchError, StudyFileError, UnknownName
from lrsearch.space import keras_class
from lrsearch.values import Direction, Json, Setting, StudyFacts
from lrsearch.version import versions

_INEXACT = (
    "the training data brings its own order, so a trial that is interrupted resumes inexactly"
)


def open_study(
    definition: StudyDefinition,
    direction: Direction | None = None,
    *,
    loaded: LoadedStudy | None = None,
    facts: StudyFacts | None = None,
) -> LoadedStudy:
    """Load the study's data; a real step shows the objective's direction where nobody knows it.

    What is `loaded` already is taken, unless it is a dataset, which the inspection's step may have
    moved on. `facts` are those of a stored study.
    """
    findings = loaded.findings if loaded is not None else Findings()
    if loaded is None or not loaded.replayable:
        loaded = LoadedStudy(definition=definition)
    loaded.findings = findings if facts is None else Findings.from_json(facts.findings)
    known = direction or definition.direction or (facts.direction if facts is not None else None)
    if known is not None:
        loaded.direction = Direction(known)
        _load(loaded)
    else:
        _check_loaded(loaded)
        model, _ = _begun_model(loaded, definition.seed)
        step = _own(definition, lambda: first_step(model, loaded, first_batch_size(definition)))
        _check_objective(definition, step, Called())
        loaded.direction = _direction(definition, model)
    return loaded


def load_study(definition: StudyDefinition) -> LoadedStudy:
    """The study with its data. Raises as `inspect_study` does."""
    loaded = LoadedStudy(definition=definition)
    _load(loaded)
    return loaded


def inspect_study(definition: StudyDefinition, *, loaded: LoadedStudy | None = None) -> StudyFacts:
    """Everything that a parent must know of the study; its data stays in `loaded`, where given.

    Raises InvalidValue and UnknownName for what the definition says, StudyFileError with the
    study's own traceback where its code fails.
    """
    for name in definition.effective_space().optimizers:
        keras_class(name)  # raises where this Keras does not have it
    forget_shared_layers(definition.build_model)
    loaded = loaded or LoadedStudy(definition=definition)
    _check_loaded(loaded)
    try:
        return _facts(loaded)
    finally:
        shared_layers(definition.build_model).restore()


def _first_step(loaded: LoadedStudy) -> tuple[_Begun, Step, Direction | None]:
    """How a model begins, what one step of it logs, and which way the objective improves.

    The direction is None where the step does not log the objective. The model goes before another
    one is made: its optimizer's state may be large.
    """
    definition = loaded.definition
    model, begun = _begun_model(loaded, definition.seed)
    step = _own(definition, lambda: first_step(model, loaded, first_batch_size(definition)))
    return begun, step, _direction(definition, model) if definition.objective in step.logs else None


def _facts(loaded: LoadedStudy) -> StudyFacts:
    """The facts that two models of the study, one step and its callbacks show."""
    definition = loaded.definition
    space, base = definition.effective_space(), first_batch_size(definition)
    first, step, direction = _first_step(loaded)
    model, second = _begun_model(loaded, definition.seed + 1)
    accumulation = accumulation_of(model, definition)
    total = loaded.total_steps(base, accumulation)
    looked = _own(definition, lambda: look_at_rates(model, total * accumulation))
    yours = describe(model, looked=looked, batch_size=base)
    kept = {  # before the searched optimizer takes the place of the user's
        "carried": carried_of(model),
        "decay_exclusions": decay_exclusions(inner(model.optimizer), model.trainable_variables),
        "own_optimizer": own_optimizer(
            model, steps=definition.epochs * loaded.steps_per_epoch(base)
        ),
    }
    _check_executions(loaded, model.steps_per_execution)
    called = _called(loaded, model, step, total, accumulation)
    _check_objective(definition, step, called)
    loaded.direction = direction or _direction(definition, model)
    loaded.findings = _findings(loaded, first, second, called)
    data = loaded.data(base)
    exact = isinstance(data.train, Arrays)
    return StudyFacts(
        objective=definition.objective,
        direction=loaded.direction,
        metrics=tuple(_logged(step, called)),
        epochs=definition.epochs,
        accumulation=accumulation,
        steps_per_epoch={
            str(size): _checked_steps(loaded, size, accumulation) for size in space.batch_sizes
        },
        train_examples=data.train.examples,
        validation_examples=data.validation.examples,
        has_test=data.test is not None,
        parameters=int(model.count_params()) if model.built else 0,
        yours=replace(yours, extra=first_extra(definition)),
        yours_rates=kept_rates(looked),
        asked_rates=space.asked_rates,
        exact_order=exact,
        fingerprint=fingerprint_of(definition) | _measured_fingerprint(loaded, second.shapes),
        recorded=recorded_of(definition),
        versions=versions(),
        notes=(
            *called.notes,
            *(() if exact else (_INEXACT,)),
            *step.notes,
            *_of_yours(yours),
            *_of_starts(first, second, loaded.findings),
            *_of_logs(step, called),
        ),
        findings=loaded.findings.to_json(),
        **kept,
    )


def _findings(loaded: LoadedStudy, first: _Begun, second: _Begun, called: Called) -> Findings:
    seeds = zip(first.seeds, second.seeds, strict=True)
    return Findings(
        fixed_seeds=any(one == other for one, other in seeds if one is not None),
        rate_callbacks=tuple(called.rate_callbacks),
        callbacks=called.kept,
        shared=tuple(shared_layers(loaded.definition.build_model).described()),
        data=digests_of_other_sizes(loaded),
    )


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """What came of a seed when a model was built: the random numbers' states, and its weights."""

    seeds: tuple[object, ...]
    shapes: tuple[Json, ...]  # of its variables, as build_model gives it
    weights: str  # a digest of the trained ones


def _begun_model(loaded: LoadedStudy, seed: int) -> tuple[Model, _Begun]:
    """A model under a seed, and what came of the seed."""
    definition = loaded.definition
    set_seeds(seed, kernels=True)
    model = _own(definition, lambda: fresh_model(definition, first_extra(definition)))
    seeds = seeds_now()
    shapes = tuple([list(each.shape), str(each.dtype), each.trainable] for each in model.weights)
    if not is_built(model):
        base = first_batch_size(definition)
        train = loaded.data(base).train
        with scope_of(model):
            _own(definition, lambda: build_layers(model, sample_batch(train, base)))
    weights = [ops.convert_to_numpy(each) for each in model.trainable_variables]
    return model, _Begun(
        seeds=seeds,
        shapes=shapes,
        weights=digest([hashlib.sha256(each.tobytes()).hexdigest() for each in weights]),
    )


def _called(loaded: LoadedStudy, model: Model, step: Step, total: int, accumulation: int) -> Called:
    """What the user's callbacks do, on a model that is compiled for a search."""
    definition = loaded.definition
    setting = definition.effective_space().references()[0]
    set_searched(
        model, setting, total_steps=total, accumulation=accumulation, learning_rate=LOOK_RATE
    )
    steps = loaded.steps_per_epoch(first_batch_size(definition))

    def look() -> Called:
        with looked_at(definition, setting) as users:
            called = call_callbacks(model, users, step.logs, epochs=definition.epochs, steps=steps)
            kept, notes = kept_of(users, yours=False, setting_rates=called.rate_callbacks)
        return replace(called, kept=tuple(type(each).__name__ for each in kept), notes=notes)

    return _own(definition, look) if definition.callbacks is not None else Called()


def _logged(step: Step, called: Called) -> dict[str, float]:
    """What an epoch logs, callbacks of the user's included."""
    return {**step.logs, **numbers_of(called.logs)}


def _check_objective(definition: StudyDefinition, step: Step, called: Called) -> None:
    names = tuple(_logged(step, called))
    if definition.objective in step.others:
        raise InvalidValue(
            "objective", got=definition.objective, allowed="one number an epoch; this one is none"
        )
    if definition.objective not in names:
        raise UnknownName(
            "metric for objective",
            got=definition.objective,
            known=names,
            fix=f"An epoch logs: {', '.join(names)}.",
        )


def _check_executions(loaded: LoadedStudy, each: int) -> None:
    """Refuse several steps per execution that do not divide a given length of an epoch."""
    definition = loaded.definition
    train = isinstance(loaded.data(first_batch_size(definition)).train, Stream)
    given = {
        "steps_per_epoch": definition.steps_per_epoch if train else None,
        "validation_steps": definition.validation_steps,
    }
    for name, steps in given.items():
        if steps is not None and steps % each:
            fix = f"Keras would run {-(-steps // each) * each} steps where {name} says {steps}."
            allowed = f"a divisor of {name}"
            raise InvalidValue("steps_per_execution", got=each, allowed=allowed, fix=fix)


def _of_starts(first: _Begun, second: _Begun, findings: Findings) -> tuple[str, ...]:
    """What to know of start values."""
    notes = []
    if findings.fixed_seeds:
        notes.append(
            "build_model sets seeds of its own; after it, lrsearch's hold again, for dropout and "
            "whatever else draws"
        )
    if first.weights == second.weights:
        notes.append(
            "every training begins with the same weights: a retest's seed changes the data's order "
            "and dropout alone"
        )
    if findings.shared:
        notes.append(
            "layers made outside build_model get their start values back before every training"
        )
    return tuple(notes)


def _of_logs(step: Step, called: Called) -> tuple[str, ...]:
    others = sorted({*step.others, *(set(called.logs) - set(numbers_of(called.logs)))})
    return (f"not kept, since it is no number: {', '.join(others)}",) if others else ()


def _checked_steps(loaded: LoadedStudy, batch_size: int | None, accumulation: int = 1) -> int:
    loaded.check_validation(batch_size)
    loaded.check_test(batch_size)
    loaded.check_accumulation(batch_size, accumulation)
    return loaded.steps_per_epoch(batch_size)


def _of_yours(yours: Setting) -> tuple[str, ...]:
    """What to know of a comparison with yours."""
    if yours.optimizer != "schedule_free_adamw":
        return ()
    said = (
        "yours is validated at the weights that Keras trains, "
        "searched ScheduleFreeAdamW at its averaged ones"
    )
    return (said,)


def _check_loaded(loaded: LoadedStudy) -> None:
    """Load the data and refuse what has no end, or no right length."""
    _load(loaded)
    loaded.check_sizes(loaded.definition.effective_space().batch_sizes)
    _checked_steps(loaded, first_batch_size(loaded.definition))


def _load(loaded: LoadedStudy) -> None:
    _own(loaded.definition, lambda: loaded.data(first_batch_size(loaded.definition)))


def _direction(definition: StudyDefinition, model: Model) -> Direction:
    """The definition's word, else what Keras knows of the metric."""
    if definition.direction is not None:
        return Direction(definition.direction)
    name = definition.objective.removeprefix("val_")
    prefixes = ("", *(f"{each}_" for each in output_names(model)))
    if name in {f"{prefix}loss" for prefix in prefixes}:
        return Direction.MINIMIZE
    for metric in model.metrics:
        for each in (metric, *getattr(metric, "metrics", ())):
            named = name in {prefix + each.name for prefix in prefixes}
            if named and (known := known_direction(each)) is not None:
                return Direction.MAXIMIZE if known == "up" else Direction.MINIMIZE
    allowed = "'minimize' or 'maximize' for this objective"
    fix = f"Keras does not know which way {definition.objective!r} improves."
    raise InvalidValue("direction", got=None, allowed=allowed, fix=fix)


def _measured_fingerprint(loaded: LoadedStudy, shapes: tuple[Json, ...]) -> dict[str, Json]:
    digests = digests_of(loaded.data(first_batch_size(loaded.definition)))
    found = {f"data.{name}": digests[name] for name in SPLITS}
    return {"model.variables": digest(list(shapes)), **found}


def _own(definition: StudyDefinition, call: Callable[[], Any]) -> Any:
    """`call`, whose failure is the study's own."""
    try:
        return call()
    except LrSearchError:
        raise
    except Exception as error:  # noqa: BLE001 - the study's code may raise anything
        path = getattr(getattr(definition.build_model, "__code__", None), "co_filename", "")
        text = own_traceback(error, Path(path)) if path else user_traceback(error)
        first = str(error).splitlines()[0] if str(error) else ""
        said = f"the study's own code failed: {type(error).__name__}: {first}"
        raise StudyFileError(said, fix=hint_of(error), traceback_text=text) from None
