"""Trains a setting by `fit` and saves the trained model, so that Keras alone can load the file.

A file that ends in `.weights.h5` gets the weights alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras

from lrsearch.engine._keras_model import compile_again
from lrsearch.engine._keras_optimizer import (
    averaged_weights,
    current_rate,
    decay_exclusions,
    holds_moving_average,
    inner,
    scale_loss_like,
)
from lrsearch.engine.compiling import fresh_model
from lrsearch.engine.fit import FitEngine
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.training import KerasTraining
from lrsearch.engine.types import Model, Optimizer, Variable
from lrsearch.errors import InvalidValue
from lrsearch.values import WEIGHTS_FILE, Outcome, Source, TrialSpec, Watch


def train_and_save(
    loaded: LoadedStudy, spec: TrialSpec, path: Path, *, watch: Watch
) -> tuple[Outcome, str]:
    """Train, and save the model to `path` where the training comes to its end.

    Returns the outcome, and why the file cannot be loaded safely (empty: it can).
    Raises InvalidValue where Keras cannot save the model, before the training where
    its classes show that, or where the file cannot be written.
    """
    if not path.name.endswith(WEIGHTS_FILE):
        _check_savable(fresh_model(loaded.definition, spec.setting.extra), path)
    problems: list[str] = []
    notes: list[str] = []

    def keep(training: KerasTraining) -> None:
        _as_judged(training)
        notes.extend(_judge_moving_average(training))
        if not path.name.endswith(WEIGHTS_FILE):
            notes.extend(_tell_lost_exclusions(training.model))
        problems.append(_save(training.model, path))

    engine = FitEngine(loaded, keep=keep)
    [outcome] = engine.train(_once(spec), watch, lambda _progress, _take: None)
    outcome = replace(outcome, notes=(*outcome.notes, *notes))
    return outcome, problems[0] if problems else ""


def _check_savable(model: Model, path: Path) -> None:
    """Raise InvalidValue where some class of the model cannot be written down."""
    try:
        keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise _unsavable(path, error) from None


def _unsavable(path: Path, error: Exception) -> InvalidValue:
    weights = f"{path.name.removesuffix('.keras')}{WEIGHTS_FILE}"
    reason = " ".join(str(error).split("Example:")[0].split())
    return InvalidValue(
        "--output",
        got=str(path),
        allowed=f"a file that this model can be saved to ({reason})",
        fix=f"Give the weights a file: --output {path.with_name(weights)}.",
    )


def _judge_moving_average(training: KerasTraining) -> Iterator[str]:
    """Say what the objective is at the moving average that `fit` has put into the model."""
    model, objective = training.model, training.loaded.definition.objective
    if holds_moving_average(model) and objective.startswith("val_"):
        value = training.evaluate_validation()[objective.removeprefix("val_")]
        yield (
            f"the model holds the optimizer's moving average, and {objective} is {value:.4g} "
            "there; the value above is that of the last epoch, before the average was put in"
        )


def _tell_lost_exclusions(model: Model) -> Iterator[str]:
    """Say what Keras does not write into the file: which variables do not decay."""
    optimizer = inner(model.optimizer)
    excluded = decay_exclusions(optimizer, model.trainable_variables)
    if excluded and optimizer.weight_decay:
        yield (
            "Keras does not save which variables are excluded from the weight decay: before "
            "you train on from the file, call exclude_from_weight_decay on its optimizer again"
        )


def _once(spec: TrialSpec) -> Source:
    left: Iterator[TrialSpec] = iter([spec])
    return lambda: next(left, None)


def _as_judged(training: KerasTraining) -> None:
    """Give the model the weights that its value is of, where the optimizer keeps others."""
    model = training.model
    if training.averaged is None:
        return
    averaged = averaged_weights(inner(model.optimizer), model.trainable_variables)
    for variable, value in zip(model.trainable_variables, averaged or (), strict=False):
        variable.assign(value)


def _save(model: Model, path: Path) -> str:
    if path.name.endswith(WEIGHTS_FILE):
        _write(path, model.save_weights)
        return ""
    _let_keras_load(model)
    _write(path, model.save)
    return _problem_of(path)


def _write(path: Path, write: Callable[[Path], None]) -> None:
    # a crash leaves no half file under the name
    part = path.with_name(f".part.{path.name}")
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        allowed = f"a file that can be written ({error})"
        fix = "Free some space, or give another folder."
        raise InvalidValue(
            "--output", got=str(path), allowed=allowed, fix=fix
        ) from None
    except (NotImplementedError, TypeError, ValueError) as error:
        part.unlink(missing_ok=True)
        raise _unsavable(path, error) from None


def _let_keras_load(model: Model) -> None:
    """Compile with the last rate as a plain number: our schedule's class is not Keras' own.

    The new optimizer takes over the state of the old one, so that a training can go on
    from the file. Without a state Keras would warn of it at every load.
    """
    optimizer = model.optimizer
    plain = inner(optimizer)
    config = {**plain.get_config(), "learning_rate": current_rate(plain)}
    compile_again(model, scale_loss_like(optimizer, type(plain).from_config(config)))
    model.optimizer.build(model.trainable_variables)
    _copy_state(plain, inner(model.optimizer))


def _copy_state(source: Optimizer, target: Optimizer) -> None:
    """Copy the variables in their order: names are not unique, and only one has its rate's."""
    old, new = _without_rate(source), _without_rate(target)
    if [each.shape for each in old] == [each.shape for each in new]:
        for given, taken in zip(old, new, strict=True):
            taken.assign(given)


def _without_rate(optimizer: Optimizer) -> list[Variable]:
    found = optimizer.variables
    return [each for each in found if not str(each.path).endswith("/learning_rate")]


def _problem_of(path: Path) -> str:
    """Why Keras' safe mode does not load the file; empty where it does."""
    try:
        keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # noqa: BLE001 - whatever loading raises is the answer
        return " ".join(str(error).split())[:400] or type(error).__name__
    return ""
