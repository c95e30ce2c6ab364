"""An autoencoder of the digits, which 20 epochs of 23 steps leave under-trained."""

import keras
from sklearn.datasets import load_digits
from wide import WIDE

from lrsearch import StudyDefinition


def load_data():
    x = (load_digits().data / 16).astype("float32")
    return (x[:1437], x[:1437]), (x[1437:], x[1437:])


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((64,)),
            layers.Dense(64, "tanh"),
            layers.Dense(16),
            layers.Dense(64, "tanh"),
            layers.Dense(64, "sigmoid"),
        ]
    )
    model.compile("adam", "mse")
    return model


definition = StudyDefinition(objective="val_loss", epochs=20, batch_size=64, space=WIDE)
