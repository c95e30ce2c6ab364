"""Learns a study's facts before its first trial: loads it, checks its data, and trains one real step.

What it finds is plain JSON, for a parent that never imports TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from lrsearch.definition import StudyDefinition, fingerprint_of
from lrsearch.definition.loading import own_traceback
from lrsearch.engine import _keras
from lrsearch.engine.callbacks import callbacks_for
from lrsearch.engine.compiling import accumulation_of, carried_of, fresh_model, inner
from lrsearch.engine.data import Arrays, Split, digest_parts, sample_batch
from lrsearch.engine.fit import user_traceback
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.yours import describe, kept_rates, look_at_rates
from lrsearch.errors import InvalidValue, LrSearchError, StudyFileError, UnknownName
from lrsearch.space import keras_class
from lrsearch.values import Direction, Json, StudyFacts
from lrsearch.version import versions

_INEXACT = "the training data brings its own order, so a trial that is interrupted resumes inexactly"


def open_study(
    definition: StudyDefinition, direction: Direction | None = None, *, loaded: LoadedStudy | None = None
) -> LoadedStudy:
    """Load the study's data; its objective's direction is learned by a real step where nobody knows it.

    What is `loaded` already is taken, unless it is a dataset, which the inspection's step may have moved on.
    """
    if loaded is None or not loaded.replayable:
        loaded = LoadedStudy(definition=definition)
    known = direction or definition.direction
    if known is not None:
        loaded.direction = Direction(known)
        _load(loaded)
    else:
        _, loaded.direction = _look(loaded)
    return loaded


def load_study(definition: StudyDefinition) -> LoadedStudy:
    """The study with its data. Raises as `inspect_study` does."""
    loaded = LoadedStudy(definition=definition)
    _load(loaded)
    return loaded


def inspect_study(definition: StudyDefinition, *, loaded: LoadedStudy | None = None) -> StudyFacts:
    """Everything that a parent must know of the study; its data stays in `loaded` where that is given.

    Raises InvalidValue and UnknownName for what the definition says, StudyFileError with the study's own traceback where its
    code fails.
    """
    for name in definition.effective_space().optimizers:
        keras_class(name)  # raises where this Keras does not have it
    loaded = loaded or LoadedStudy(definition=definition)
    metrics, loaded.direction = _look(loaded)
    space = definition.effective_space()
    model = _own(definition, lambda: fresh_model(definition, _first_extra(definition)))
    accumulation = accumulation_of(model, definition)
    base = space.batch_sizes[0]
    data = loaded.data(base)
    exact = isinstance(data.train, Arrays)
    looked = _own(definition, lambda: look_at_rates(model, loaded.total_steps(base, accumulation) * accumulation))
    _, notes = _own(definition, lambda: callbacks_for(definition, yours=False, folder=None))
    return StudyFacts(
        objective=definition.objective,
        direction=loaded.direction,
        metrics=metrics,
        epochs=definition.epochs,
        accumulation=accumulation,
        steps_per_epoch={str(size): _checked_steps(loaded, size, accumulation) for size in space.batch_sizes},
        train_examples=data.train.examples,
        validation_examples=data.validation.examples,
        has_test=data.test is not None,
        parameters=int(model.count_params()) if model.built else 0,
        yours=replace(describe(model, looked=looked, batch_size=base), extra=_first_extra(definition)),
        yours_rates=kept_rates(looked),
        exact_order=exact,
        fingerprint=fingerprint_of(definition) | _measured_fingerprint(loaded, model),
        versions=versions(),
        notes=(*notes, *(() if exact else (_INEXACT,)), *_of_yours(model)),
        carried=carried_of(model),
        decay_exclusions=_keras.decay_exclusions(inner(model.optimizer), model.trainable_variables),
    )


def _checked_steps(loaded: LoadedStudy, batch_size: int | None, accumulation: int = 1) -> int:
    loaded.check_validation(batch_size)
    loaded.check_test(batch_size)
    loaded.check_accumulation(batch_size, accumulation)
    return loaded.steps_per_epoch(batch_size)


def _of_yours(model: Any) -> tuple[str, ...]:
    """What to know of a comparison with yours."""
    if type(inner(model.optimizer)).__name__ != "ScheduleFreeAdamW":
        return ()
    return ("yours is validated at the weights that Keras trains, searched ScheduleFreeAdamW at its averaged ones",)


def _look(loaded: LoadedStudy) -> tuple[tuple[str, ...], Direction]:
    """One real training step and one validation step: the names that they log, and the objective's direction."""
    definition = loaded.definition
    base = definition.effective_space().batch_sizes[0]
    _load(loaded)
    loaded.check_sizes(definition.effective_space().batch_sizes)
    _checked_steps(loaded, base)
    keras.utils.set_random_seed(definition.seed)
    model = _own(definition, lambda: fresh_model(definition, _first_extra(definition)))
    names = _own(definition, lambda: _logged(model, loaded, base))
    if definition.objective not in names:
        raise UnknownName(
            "metric for objective", got=definition.objective, known=names, fix=f"An epoch logs: {', '.join(names)}."
        )
    return names, _direction(definition, model)


def _load(loaded: LoadedStudy) -> None:
    base = loaded.definition.effective_space().batch_sizes[0]
    _own(loaded.definition, lambda: loaded.data(base))


def _logged(model: Any, loaded: LoadedStudy, batch_size: int | None) -> tuple[str, ...]:
    data = loaded.data(batch_size)
    weights = dict(loaded.definition.class_weight) if loaded.definition.class_weight else None
    train, validation = (_one_batch(split, batch_size) for split in (data.train, data.validation))
    keras.config.disable_traceback_filtering()
    model.jit_compile = model.jit_compile and _keras.asked_for_jit(model)  # compiling for one step would take longer than it
    # Tracing Keras' own step takes 0.4 s of the smallest model's, and shows nothing more than its operations do.
    model.run_eagerly = model.run_eagerly or type(model).train_step is keras.Model.train_step
    try:
        options = {
            "epochs": 1,
            "steps_per_epoch": 1,
            "class_weight": weights,
            "validation_steps": 1,
            "shuffle": False,
            "verbose": 0,
        }
        history = model.fit(train, validation_data=validation, **options)
    finally:
        keras.config.enable_traceback_filtering()
    return tuple(history.history)


def _one_batch(split: Split, batch_size: int | None) -> Any:
    import tensorflow as tf

    if isinstance(split, Arrays):
        batch = sample_batch(split, batch_size)
        return tf.data.Dataset.from_tensors(batch)
    return split.source


def _direction(definition: StudyDefinition, model: Any) -> Direction:
    """The definition's word, else what Keras knows of the metric."""
    if definition.direction is not None:
        return Direction(definition.direction)
    name, prefixes = definition.objective.removeprefix("val_"), ("", *(f"{each}_" for each in _keras.output_names(model)))
    if name in {f"{prefix}loss" for prefix in prefixes}:
        return Direction.MINIMIZE
    for metric in model.metrics:
        for each in (metric, *getattr(metric, "metrics", ())):
            known = _keras.known_direction(each) if name in {prefix + each.name for prefix in prefixes} else None
            if known is not None:
                return Direction.MAXIMIZE if known == "up" else Direction.MINIMIZE
    fix = f"Keras does not know which way {definition.objective!r} improves."
    raise InvalidValue("direction", got=None, allowed="'minimize' or 'maximize' for this objective", fix=fix)


def _first_extra(definition: StudyDefinition) -> dict[str, Json]:
    """Values for build_model(params) before there is a trial: those of the space's first reference setting."""
    return dict(definition.effective_space().references()[0].extra)


def _measured_fingerprint(loaded: LoadedStudy, model: Any) -> dict[str, Json]:
    data = loaded.data(loaded.definition.effective_space().batch_sizes[0])
    shapes = [[list(each.shape), str(each.dtype), each.trainable] for each in model.weights]
    return {
        "model.variables": _digest(shapes),
        "data.train": _digest(digest_parts(data.train)),
        "data.validation": _digest(digest_parts(data.validation)),
        "data.test": _digest(digest_parts(data.test)),
    }


def _digest(parts: Json) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _own(definition: StudyDefinition, call: Any) -> Any:
    """`call`, whose failure is the study's own."""
    try:
        return call()
    except LrSearchError:
        raise
    except Exception as error:  # noqa: BLE001 - the study's code may raise anything
        path = getattr(getattr(definition.build_model, "__code__", None), "co_filename", "")
        text = own_traceback(error, Path(path)) if path else user_traceback(error)
        raise StudyFileError(
            f"the study's own code failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            traceback_text=text,
        ) from None
