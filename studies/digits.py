"""Handwritten digits (scikit-learn's, 1,797 images of 8x8), a small dense network.

Needs `pip install lrsearch[examples]`.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from lrsearch import StudyDefinition


def load_data():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), y[order]
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((64,)),
            layers.Dense(128, "relu"),
            layers.Dense(128, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


definition = StudyDefinition(objective="val_accuracy", epochs=20, batch_size=64)
