"""Handwritten digits squeezed through 12 numbers and drawn again, by a network compiled
with plain Adam.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from lrsearch import StudyDefinition


def load_data():
    x = load_digits().data.astype("float32") / 16
    x = x[np.random.default_rng(0).permutation(len(x))]
    train, validation, test = x[:1100], x[1100:1450], x[1450:]
    return (train, train), (validation, validation), (test, test)


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((64,)),
            layers.Dense(96, "relu"),
            layers.Dense(12),
            layers.Dense(96, "relu"),
            layers.Dense(64, "sigmoid"),
        ]
    )
    model.compile("adam", "mse")
    return model


definition = StudyDefinition(objective="val_loss", epochs=20, batch_size=64)
