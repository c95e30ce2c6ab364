"""MNIST with a small convolutional network, on a quarter of the training images; the
test images are seen by retests alone.

Keras downloads the data once; or put `mnist.npz` into a folder and name that folder in
LRSEARCH_DATA.
"""

import os
from pathlib import Path

import keras
import numpy as np

from lrsearch import SearchSpace, StudyDefinition


def read_mnist():
    """The four arrays: training images and labels, test images and labels."""
    folder = os.environ.get("LRSEARCH_DATA")
    if folder is None:
        (x, y), (x_test, y_test) = keras.datasets.mnist.load_data()
        return x, y, x_test, y_test
    with np.load(Path(folder) / "mnist.npz") as file:
        return file["x_train"], file["y_train"], file["x_test"], file["y_test"]


def load_data():
    x, y, x_test, y_test = read_mnist()
    x, x_test = (
        images[..., None].astype("float32") / 255 for images in (x[:15000], x_test)
    )
    return (x[:12000], y[:12000]), (x[12000:], y[12000:15000]), (x_test, y_test)


def build_model(params):
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(params["dropout"]),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


definition = StudyDefinition(
    objective="val_accuracy",
    epochs=5,
    batch_size=128,
    space=SearchSpace(extra={"dropout": (0.0, 0.6)}),
)
