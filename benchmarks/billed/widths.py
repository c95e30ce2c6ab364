"""A classifier of made-up vectors with two batch sizes and a test split."""

import keras
import numpy as np

from lrsearch import StudyDefinition


def load_data():
    random = np.random.default_rng(1)
    centres = random.normal(size=(8, 24)).astype("float32")
    y = random.integers(8, size=3000)
    x = centres[y] + 1.5 * random.normal(size=(3000, 24)).astype("float32")
    return (x[:2000], y[:2000]), (x[2000:2500], y[2000:2500]), (x[2500:], y[2500:])


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((24,)),
            layers.Dense(96, "relu"),
            layers.Dropout(0.2),
            layers.Dense(8, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


definition = StudyDefinition(objective="val_accuracy", epochs=12, batch_size=[32, 64])
