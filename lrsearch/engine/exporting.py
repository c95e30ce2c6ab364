"""Writes a setting as an untrained, compiled `.keras` model."""

from __future__ import annotations

from pathlib import Path

import keras

from lrsearch.definition import StudyDefinition
from lrsearch.engine._keras_model import build_fully, compile_again
from lrsearch.engine._keras_optimizer import decay_exclusions, inner
from lrsearch.engine.compiling import accumulation_of, fresh_model, set_searched
from lrsearch.engine.data import sample_batch
from lrsearch.engine.inspection import load_study
from lrsearch.engine.types import Model
from lrsearch.errors import InvalidValue
from lrsearch.values import Setting


def write_model(
    definition: StudyDefinition,
    setting: Setting,
    path: Path,
    *,
    seed: int,
    yours: bool = False,
) -> None:
    """Build the model under `seed`, compile it with the setting, and save it to `path`.

    A program that loads the file must `import lrsearch.keras` first, which registers
    the schedule. Raises InvalidValue where Keras cannot save the model.
    """
    loaded, size = load_study(definition), setting.batch_size
    keras.utils.set_random_seed(seed)
    model = fresh_model(definition, setting.extra)
    accumulation = accumulation_of(model, definition)
    if not yours:
        total = loaded.total_steps(size, accumulation)
        set_searched(model, setting, total_steps=total, accumulation=accumulation)
        compile_again(model, model.optimizer)
    _check_exclusions(model)
    build_fully(model, sample_batch(loaded.data(size).train, size))
    try:
        model.save(path)
    except (NotImplementedError, TypeError, ValueError) as error:
        allowed = f"another one for this model ({error})"
        fix = "Use --format python, which needs no saved model."
        raise InvalidValue("--format", got="keras", allowed=allowed, fix=fix) from None


def _check_exclusions(model: Model) -> None:
    """Refuse exclusions from weight decay: the loaded .keras file would silently decay all."""
    optimizer = inner(model.optimizer)
    if optimizer.weight_decay and decay_exclusions(
        optimizer, model.trainable_variables
    ):
        allowed = (
            "another one where the optimizer leaves variables out of weight decay, which .keras "
            "files do not hold"
        )
        raise InvalidValue(
            "--format", got="keras", allowed=allowed, fix="Use --format python."
        )
