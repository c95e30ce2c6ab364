"""The workloads: data, model, epochs and batch size of each, shared by lrsearch's study
files and the peers.

Knows Keras and no search. LRSEARCH_DATA names the folder with the files; without it,
Keras downloads MNIST and the text.

digits       scikit-learn's handwritten digits (1,797 images), dense 64-128-128-10, 20 epochs of 23 steps
mnist        10,000 images of MNIST's test file, a small convolutional network, 5 epochs of 63 steps
transformer  tiny Shakespeare, two blocks of width 64 over 64 characters, 3 epochs of 60 steps
gru          the same text and steps, a GRU of 96 units
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Split = tuple[np.ndarray, np.ndarray]

LENGTH = 64  # characters an example
VOCABULARY = 65  # characters that the text has
WIDTH, HEADS, BLOCKS = 64, 4, 2
TEXT = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
# file, bytes of its header
_IDX = (("t10k-images-idx3-ubyte.gz", 16), ("t10k-labels-idx1-ubyte.gz", 8))


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every contender trains.

    `lengths` are the two numbers of trials whose difference gives a further trial's
    cost.
    """

    data: Callable[[], tuple[Split, Split]]
    model: Callable[[], Any]
    epochs: int
    batch_size: int
    lengths: tuple[int, int]
    quick: tuple[int, int]

    def compiled(self, optimizer: Any) -> Any:
        """A new model, compiled as everybody does it: Keras' defaults but for
        optimizer, loss and accuracy.
        """
        import keras

        model = self.model()
        model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model


def digits_data() -> tuple[Split, Split]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), y[order].astype("int32")
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def digits_model() -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((64,)),
            layers.Dense(128, "relu"),
            layers.Dense(128, "relu"),
            layers.Dense(10),
        ]
    )


def mnist_data() -> tuple[Split, Split]:
    images, labels = mnist_images()
    x, y = images.reshape(-1, 28, 28, 1).astype("float32") / 255, labels.astype("int32")
    return (x[:8000], y[:8000]), (x[8000:], y[8000:])


def mnist_images() -> tuple[np.ndarray, np.ndarray]:
    """The 10,000 test images, uint8 (10000 * 784,) or (10000, 28, 28), and their labels."""
    folder = os.environ.get("LRSEARCH_DATA")
    if folder is None:
        import keras

        return keras.datasets.mnist.load_data()[1]  # type: ignore[no-any-return]
    if (Path(folder) / "mnist.npz").exists():
        with np.load(Path(folder) / "mnist.npz") as file:
            return file["x_test"], file["y_test"]
    images, labels = (
        gzip.decompress((Path(folder) / name).read_bytes())[skip:]
        for name, skip in _IDX
    )
    return np.frombuffer(images, np.uint8), np.frombuffer(labels, np.uint8)


def mnist_model() -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10),
        ]
    )


def text_data() -> tuple[Split, Split]:
    """Random windows: 1,920 of the first nine tenths, 256 of the last; each character's
    label is the next one.
    """
    windows = np.lib.stride_tricks.sliding_window_view(text_characters(), LENGTH + 1)
    split, random = len(windows) * 9 // 10, np.random.default_rng(0)
    train = windows[random.integers(0, split - LENGTH, 1920)]
    validation = windows[random.integers(split, len(windows), 256)]
    return (train[:, :-1], train[:, 1:]), (validation[:, :-1], validation[:, 1:])


def text_characters() -> np.ndarray:
    """(characters,) int32: the whole text, each character as its place in the alphabet."""
    folder = os.environ.get("LRSEARCH_DATA")
    if folder is None:
        import keras

        path = keras.utils.get_file("tinyshakespeare.txt", TEXT)
    else:
        path = Path(folder) / "tinyshakespeare.txt"
    _, ids = np.unique(
        np.array(list(Path(path).read_text(encoding="utf-8"))), return_inverse=True
    )
    return ids.astype("int32")


def transformer_model() -> Any:
    import keras
    from keras import layers

    inputs = layers.Input((LENGTH,), dtype="int32")
    places = layers.Embedding(LENGTH, WIDTH)(keras.ops.arange(LENGTH))
    x = layers.Embedding(VOCABULARY, WIDTH)(inputs) + places
    for _ in range(BLOCKS):
        h = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(
            h, h, use_causal_mask=True
        )
        h = layers.Dense(4 * WIDTH, "gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(WIDTH)(h)
    return keras.Model(inputs, layers.Dense(VOCABULARY)(layers.LayerNormalization()(x)))


def gru_model() -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, 48),
            layers.GRU(96, return_sequences=True),
            layers.Dense(VOCABULARY),
        ]
    )


WORKLOADS = {
    "digits": Workload(
        data=digits_data,
        model=digits_model,
        epochs=20,
        batch_size=64,
        lengths=(40, 200),
        quick=(2, 6),
    ),
    "mnist": Workload(
        data=mnist_data,
        model=mnist_model,
        epochs=5,
        batch_size=128,
        lengths=(10, 30),
        quick=(2, 4),
    ),
    "transformer": Workload(
        data=text_data,
        model=transformer_model,
        epochs=3,
        batch_size=32,
        lengths=(10, 20),
        quick=(2, 4),
    ),
    "gru": Workload(
        data=text_data,
        model=gru_model,
        epochs=3,
        batch_size=32,
        lengths=(10, 30),
        quick=(2, 4),
    ),
}
