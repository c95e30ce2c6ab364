"""A small character model (a GRU) on Shakespeare's text: cross-entropy a character, so
lower is better.

Keras downloads the text once; or put `tinyshakespeare.txt` into a folder and name that
folder in LRSEARCH_DATA.
"""

import os
from pathlib import Path

import keras
import numpy as np

from lrsearch import SearchSpace, StudyDefinition

ORIGIN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
LENGTH = 64  # characters an example
VOCABULARY = 65  # characters that the text has


def read_text():
    folder = os.environ.get("LRSEARCH_DATA")
    path = (
        Path(folder) / "tinyshakespeare.txt"
        if folder
        else keras.utils.get_file("tinyshakespeare.txt", ORIGIN)
    )
    return Path(path).read_text(encoding="utf-8")


def load_data():
    characters = np.array(list(read_text()[:200_000]))
    vocabulary, ids = np.unique(characters, return_inverse=True)
    assert len(vocabulary) <= VOCABULARY
    windows = np.lib.stride_tricks.sliding_window_view(ids.astype("int32"), LENGTH + 1)[
        ::LENGTH
    ]
    x, y = windows[:, :-1], windows[:, 1:]
    split = len(x) * 9 // 10  # the last tenth of the text validates
    return (x[:split], y[:split]), (x[split:], y[split:])


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, 48),
            layers.GRU(96, return_sequences=True),
            layers.Dense(VOCABULARY),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


definition = StudyDefinition(
    objective="val_loss",
    epochs=5,
    batch_size=32,
    space=SearchSpace(optimizers=["adam", "adamw", "lion", "rmsprop"]),
)
