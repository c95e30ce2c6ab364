"""MNIST, a small convolutional network: 4,000 images, 4 epochs of 63 steps."""

import keras
from wide import WIDE
from workloads import mnist

from lrsearch import StudyDefinition


def load_data():
    (x, y), validation = mnist()
    return (x[:4000], y[:4000]), validation


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


definition = StudyDefinition(objective="val_loss", epochs=4, batch_size=64, space=WIDE)
