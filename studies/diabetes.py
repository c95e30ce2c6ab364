"""Disease progression of 442 diabetes patients from ten numbers each, by a small dense network."""

import keras
import numpy as np
from sklearn.datasets import load_diabetes

from lrsearch import StudyDefinition


def load_data():
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x[order] * len(x) ** 0.5).astype("float32")  # columns of variance one
    y = ((y[order] - y.mean()) / y.std()).astype("float32")
    return (x[:300], y[:300]), (x[300:], y[300:])


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(32, "relu"),
            layers.Dense(32, "relu"),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    return model


definition = StudyDefinition(objective="val_loss", epochs=30, batch_size=32)
