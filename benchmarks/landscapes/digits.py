"""Handwritten digits, a dense network: scikit-learn's 1,797 images, 15 epochs of 23 steps."""

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from wide import WIDE

from lrsearch import StudyDefinition


def load_data():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_val, y, y_val = train_test_split(
        x, y, test_size=360, stratify=y, random_state=0
    )
    return (x, y), (x_val, y_val)


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((64,)),
            layers.Dense(128, "relu"),
            layers.Dense(128, "relu"),
            layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


definition = StudyDefinition(objective="val_loss", epochs=15, batch_size=64, space=WIDE)
