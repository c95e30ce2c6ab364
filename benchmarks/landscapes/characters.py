"""The next of 65 characters from the 16 before it: a dense model, 5 epochs of 60 steps."""

import keras
import numpy as np
from wide import WIDE
from workloads import characters

from lrsearch import StudyDefinition

CONTEXT = 16


def load_data():
    return tuple(_windows(*split) for split in characters())


def _windows(x, y):
    """The first and the middle place of each line: ((2 n, 16), (2 n,)) int32."""
    places = (CONTEXT, x.shape[1] // 2 + CONTEXT)
    inputs = [x[:, place - CONTEXT : place] for place in places]
    return np.concatenate(inputs), np.concatenate([y[:, place - 1] for place in places])


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((CONTEXT,), dtype="int32"),
            layers.Embedding(65, 24),
            layers.Flatten(),
            layers.Dense(96, "relu"),
            layers.Dense(65),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


definition = StudyDefinition(objective="val_loss", epochs=5, batch_size=64, space=WIDE)
