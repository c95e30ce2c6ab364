"""Trains a setting by `fit` and saves the trained model, so that Keras alone can load the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras

from lrsearch.engine._keras_model import compile_again
from lrsearch.engine._keras_optimizer import (
    averaged_weights,
    current_rate,
    inner,
    scale_loss_like,
)
from lrsearch.engine.fit import FitEngine
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.training import KerasTraining
from lrsearch.engine.types import Model, Optimizer, Variable
from lrsearch.errors import InvalidValue
from lrsearch.values import Outcome, Source, TrialSpec, Watch


def train_and_save(
    loaded: LoadedStudy, spec: TrialSpec, path: Path, *, watch: Watch
) -> tuple[Outcome, str]:
    """Train, and save the model to `path` where the training comes to its end.

    Returns the outcome, and why the file cannot be loaded safely (empty: it can).
    Raises InvalidValue where Keras cannot save the model, or the file cannot be
    written.
    """
    problems: list[str] = []

    def keep(training: KerasTraining) -> None:
        _as_judged(training)
        problems.append(_save(training.model, path))

    engine = FitEngine(loaded, keep=keep)
    [outcome] = engine.train(_once(spec), watch, lambda _progress, _take: None)
    return outcome, problems[0] if problems else ""


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
    _let_keras_load(model)
    # a crash leaves no half file under the name
    part = path.with_name(f".{path.stem}.part.keras")
    try:
        model.save(part)
        part.replace(path)
    except (NotImplementedError, TypeError, ValueError, OSError) as error:
        part.unlink(missing_ok=True)
        allowed = f"a file that this model can be saved to ({error})"
        fix = "The setting alone can be exported: lrsearch export."
        raise InvalidValue(
            "--output", got=str(path), allowed=allowed, fix=fix
        ) from None
    return _problem_of(path)


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
