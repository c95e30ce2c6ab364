"""A small convolution on `tf.data` datasets."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from lrsearch import StudyDefinition


def load_data():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32").reshape(-1, 8, 8, 1), y[order]
    train = (
        tf.data.Dataset.from_tensor_slices((x[:1437], y[:1437]))
        .shuffle(1437, seed=1)
        .batch(32)
    )
    return train, tf.data.Dataset.from_tensor_slices((x[1437:], y[1437:])).batch(64)


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


definition = StudyDefinition(objective="val_accuracy", epochs=10)
