"""A small regression, which `--engine fit` trains."""

import keras
import numpy as np

from lrsearch import StudyDefinition


def load_data():
    random = np.random.default_rng(0)
    x = random.normal(size=(1200, 12)).astype("float32")
    y = (
        x[:, :1] * x[:, 1:2]
        + np.sin(2 * x[:, 2:3])
        + 0.1 * random.normal(size=(1200, 1)).astype("float32")
    )
    return (x[:1000], y[:1000]), (x[1000:], y[1000:])


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(64, "relu"),
            layers.Dense(64, "relu"),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    return model


definition = StudyDefinition(objective="val_loss", epochs=15, batch_size=32)
