"""The least and the largest value that an objective can have, where Keras' own classes say so.

Keras' accuracies, rates and areas lie between 0 and 1. Its errors, and losses that are
sums of its losses alone, are at least 0. A cross-entropy is at least 0 only where
targets lie between 0 and 1. What the user wrote may have any value. Whoever reads the
bounds drops an end that a value passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import keras
from keras import losses, metrics, tree

from lrsearch.engine._keras_model import has_own, loss_weights_of, output_names
from lrsearch.engine.types import Metric, Model

Bounds: TypeAlias = tuple[float | None, float | None]

_UNIT = (
    metrics.Accuracy,
    metrics.BinaryAccuracy,
    metrics.CategoricalAccuracy,
    metrics.SparseCategoricalAccuracy,
    metrics.TopKCategoricalAccuracy,
    metrics.SparseTopKCategoricalAccuracy,
    metrics.AUC,
    metrics.Precision,
    metrics.Recall,
    metrics.PrecisionAtRecall,
    metrics.RecallAtPrecision,
    metrics.SensitivityAtSpecificity,
    metrics.SpecificityAtSensitivity,
    metrics.BinaryIoU,
    metrics.MeanIoU,
)
_ERRORS = (
    metrics.MeanSquaredError,
    metrics.RootMeanSquaredError,
    metrics.MeanAbsoluteError,
    metrics.MeanAbsolutePercentageError,
    metrics.MeanSquaredLogarithmicError,
    metrics.LogCoshError,
    metrics.Hinge,
    metrics.SquaredHinge,
    metrics.CategoricalHinge,
)
_LOSS_NAMES = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
)
# Each is there as a function and as a class: `log_cosh` and `LogCosh`.
_LOSSES = frozenset(
    getattr(losses, each)
    for name in _LOSS_NAMES
    for each in (name, name.title().replace("_", ""))
)
_METRIC_BOUNDS: dict[type, Bounds] = dict.fromkeys(_UNIT, (0.0, 1.0)) | dict.fromkeys(
    _ERRORS, (0.0, None)
)
_METHODS = ("compute_loss", "compute_metrics", "train_step", "test_step")


def metrics_named(objective: str, model: Model) -> Iterator[Metric]:
    """The model's metrics that log this objective, with an output's name before it or not."""
    name = objective.removeprefix("val_")
    prefixes = ("", *(f"{output}_" for output in output_names(model)))
    for metric in model.metrics:
        for each in (metric, *getattr(metric, "metrics", ())):
            if name in {prefix + each.name for prefix in prefixes}:
                yield each


def find_bounds(objective: str, model: Model) -> Bounds:
    """What the objective lies between, None where an end is not known. The model has trained."""
    if any(has_own(model, each) for each in _METHODS):
        return None, None
    if objective.removeprefix("val_") == "loss":
        return (0.0 if _sums_known_losses(model) else None), None
    # a class of the user's may compute anything, even below one of Keras'
    found = {
        _METRIC_BOUNDS.get(type(each), (None, None))
        for each in metrics_named(objective, model)
    }
    return found.pop() if len(found) == 1 else (None, None)


def _sums_known_losses(model: Model) -> bool:
    """Whether the loss has Keras' nonnegative losses alone, with no negative weight."""
    given = [
        keras.losses.get(each) for each in tree.flatten(model.loss) if each is not None
    ]
    none_added = not model.losses  # regularizers and add_loss may have any sign
    known = all(each in _LOSSES or type(each) in _LOSSES for each in given)
    return none_added and known and all(each >= 0 for each in loss_weights_of(model))
