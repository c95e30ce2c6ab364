"""Study files for the GPU's steps, as text: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

DIGITS = (Path(__file__).parents[2] / "studies" / "digits.py").read_text(
    encoding="utf-8"
)

CNN = """
import keras
import numpy as np
from lrsearch import SearchSpace, StudyDefinition


def load_data():
    random = np.random.default_rng(0)
    x = random.normal(size=(10000, 28, 28, 1)).astype("float32")
    y = (x[:, :14].mean(axis=(1, 2, 3)) > 0).astype("int32")
    return (x[:8000], y[:8000]), (x[8000:], y[8000:])


def build_model():
    layers = keras.layers
    model = keras.Sequential([
        layers.Input((28, 28, 1)),
        layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, "softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


definition = StudyDefinition(
    objective="val_accuracy", epochs=5, batch_size=128,
    space=SearchSpace(optimizers=["momentum", "adam"]),
)
"""


def digits(*, quick: bool) -> str:
    """Digits; in a rehearsal of two epochs."""
    return DIGITS.replace("epochs=20", "epochs=2") if quick else DIGITS
