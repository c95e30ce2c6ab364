"""Small studies, one for each kind of objective: build_model, load_data and what they ask for."""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from lrsearch import StudyDefinition

BATCH, EPOCHS = 8, 2
TRAINED, VALIDATED, TESTED = 24, 21, 13  # the last batch of the others is short
L = keras.layers


def arrays(rows, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 5)).astype("float32")
    return x, (x[:, :1] * 2 - x[:, 1:2]).astype("float32"), random


def numbers(rows, seed):
    x, y, _ = arrays(rows, seed)
    return x, y


def weighted(rows, seed):
    x, y, random = arrays(rows, seed)
    return x, y, random.choice(np.float32([0.0, 0.5, 3.0]), rows)


def kinds(rows, seed):
    x, y, _ = arrays(rows, seed)
    return x, np.digitize(y[:, 0], [-1.0, 1.0]).astype("int32")


def answers(rows, seed):
    x, y, _ = arrays(rows, seed)
    return x, (y > 0).astype("float32")


def two(rows, seed):
    x, y, _ = arrays(rows, seed)
    return x, {"near": y, "far": y * y}


def sentences(rows, seed):
    random = np.random.default_rng(seed)
    words = random.integers(1, 9, (rows, 6))
    words[np.arange(6) >= random.integers(2, 7, (rows, 1))] = 0
    return words.astype("int32"), (words % 3).astype("int32")


def network(*last, middle=(), features=5):
    return keras.Sequential([L.Input((features,)), L.Dense(4, "tanh"), *middle, *last])


def compiled(model, loss, **options):
    model.compile(keras.optimizers.Adam(1e-2), loss, **options)
    return model


def regression(*middle, **options):
    return lambda: compiled(
        network(L.Dense(1), middle=middle_of(middle)), "mse", **options
    )


def middle_of(makers):
    return [make() for make in makers]


def classifier(loss="sparse_categorical_crossentropy", **options):
    return lambda: compiled(network(L.Dense(3, "softmax")), loss, **options)


def binary(**options):
    return lambda: compiled(
        network(L.Dense(1, "sigmoid")), "binary_crossentropy", **options
    )


def outputs(**options):
    def build():
        x = L.Input((5,))
        middle = L.Dense(4, "tanh")(x)
        made = {
            "near": L.Dense(1, name="near")(middle),
            "far": L.Dense(1, name="far")(middle),
        }
        return compiled(keras.Model(x, made), {"near": "mse", "far": "mae"}, **options)

    return build


def tagger():
    model = keras.Sequential(
        [
            L.Input((6,), dtype="int32"),
            L.Embedding(9, 4, mask_zero=True),
            L.Dense(3, "softmax"),
        ]
    )
    return compiled(model, "sparse_categorical_crossentropy", metrics=["accuracy"])


def customers(rows, seed):
    x, y, random = arrays(rows, seed)
    cities = random.choice(["Rome", "Oslo"], rows).astype(object)
    return {"age": x[:, :1], "city": cities}, y


class Customers(keras.Model):
    """Built by its first call alone, of numbers and texts."""

    def __init__(self):
        super().__init__()
        self.look_up = L.StringLookup(
            vocabulary=["Rome", "Oslo"], output_mode="one_hot"
        )
        self.last = L.Dense(1)

    def call(self, x):
        return self.last(
            keras.ops.concatenate([x["age"], self.look_up(x["city"])], axis=-1)
        )


def tf_dataset(make):
    def made(rows, seed):
        return tf.data.Dataset.from_tensor_slices(make(rows, seed)).batch(BATCH)

    return made


class OwnStep(keras.Sequential):
    def test_step(self, data):
        return super().test_step(data)


def own_step():
    return compiled(OwnStep([L.Input((5,)), L.Dense(1)]), "mse")


@dataclass(frozen=True)
class Kind:
    """A study whose objective is of one kind."""

    build: object
    make: object = numbers  # arrays, or a dataset, of so many rows under a seed
    objective: str = "val_loss"
    fields: dict = field(default_factory=dict)
    direction: str = "minimize"

    def load_data(self):
        return tuple(
            self.make(rows, seed)
            for seed, rows in enumerate((TRAINED, VALIDATED, TESTED))
        )

    def definition(self, **changes):
        dataset = isinstance(self.make(2, 0), tf.data.Dataset)
        known = {
            "build_model": self.build,
            "load_data": self.load_data,
            "objective": self.objective,
            "direction": self.direction,
            "epochs": EPOCHS,
            "batch_size": None if dataset else BATCH,
        }
        return StudyDefinition(**(known | self.fields | changes))


def accuracies(*names):
    return {"metrics": list(names)}


MEANS = {
    "squared errors": Kind(regression()),
    "a metric": Kind(regression(metrics=["mae"]), objective="val_mae"),
    "accuracy": Kind(
        classifier(metrics=["accuracy"]), kinds, "val_accuracy", direction="maximize"
    ),
    "top two": Kind(
        classifier(
            metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")]
        ),
        kinds,
        "val_top",
        direction="maximize",
    ),
    "binary accuracy": Kind(
        binary(metrics=["accuracy"]), answers, "val_accuracy", direction="maximize"
    ),
    "cross-entropy": Kind(classifier(), kinds),
    "a loss with sample weights": Kind(regression(), weighted),
    "a weighted metric": Kind(
        regression(weighted_metrics=["mae"]), weighted, "val_mae"
    ),
    "two outputs with loss weights": Kind(
        outputs(loss_weights={"near": 1.0, "far": 0.3}), two
    ),
    "a metric of one output": Kind(
        outputs(metrics={"near": ["mae"], "far": ["mse"]}), two, "val_far_mse"
    ),
    "an activity regularizer": Kind(
        regression(lambda: L.Dense(3, activity_regularizer="l2")),
    ),
    "a weight regularizer": Kind(
        regression(lambda: L.Dense(3, kernel_regularizer="l2"))
    ),
    "batch normalisation": Kind(regression(L.BatchNormalization)),
    "class weights": Kind(
        classifier(), kinds, fields={"class_weight": {0: 1.0, 1: 3.0, 2: 1.0}}
    ),
    "the accuracy of words with a mask": Kind(
        tagger, sentences, "val_accuracy", direction="maximize"
    ),
    "texts beside numbers": Kind(lambda: compiled(Customers(), "mse"), customers),
    "a dataset": Kind(regression(metrics=["mae"]), tf_dataset(numbers), "val_mae"),
    "a dataset with sample weights": Kind(regression(), tf_dataset(weighted)),
    "a part of a dataset": Kind(
        regression(),
        tf_dataset(numbers),
        fields={"validation_steps": 2, "steps_per_epoch": 3},
    ),
}
"""Objectives that are means over rows."""

_UNFIT = "the logged {} is not the mean over rows: a sum, a mask, or a mean of batches"
OTHERS = {
    "AUC": (
        Kind(binary(metrics=["AUC"]), answers, "val_AUC", direction="maximize"),
        "val_AUC is no mean over rows",
    ),
    "F1": (
        Kind(
            binary(
                metrics=[
                    keras.metrics.F1Score(threshold=0.5, average="micro", name="f1")
                ]
            ),
            answers,
            "val_f1",
            direction="maximize",
        ),
        "val_f1 is no mean over rows",
    ),
    "RMSE": (
        Kind(
            regression(metrics=[keras.metrics.RootMeanSquaredError(name="rmse")]),
            objective="val_rmse",
        ),
        "val_rmse is no mean over rows",
    ),
    "the loss of words with a mask": (
        Kind(tagger, sentences),
        _UNFIT.format("val_loss"),
    ),
    "a loss that is summed": (
        Kind(
            lambda: compiled(network(L.Dense(1)), keras.losses.MeanSquaredError("sum"))
        ),
        _UNFIT.format("val_loss"),
    ),
    "one output's own loss": (
        Kind(outputs(), two, "val_far_loss"),
        _UNFIT.format("val_far_loss"),
    ),
    "a test_step of its own": (Kind(own_step), "the model has a test_step of its own"),
    "the loss of the training": (
        Kind(regression(), objective="loss"),
        "loss is not measured on the validation split",
    ),
}
"""Objectives that are no means over rows, and what the note says."""
