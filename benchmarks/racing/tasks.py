"""The tasks of the race: data, model, epochs and batch size, shared by all tools and the judge.

Three splits: training, validation, which the searches see, and test, which the judge
alone sees. None of the models is one of benchmarks/landscapes, on which the sampler was
chosen.

mlp         3,000 of MNIST's images, eight dense layers of 64 tanh units, compiled with "sgd", whose
            default rate is far too low; 6 epochs of 47 steps
characters  the next character from the 24 before it, dense layers of 160 and 96, 6,000 examples,
            4 epochs of 94 steps
cnn         4,000 of MNIST's images, two convolutions of 12 and 24 filters, 4 epochs of 63 steps
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from contest.workloads import VOCABULARY, mnist_images, text_characters

Split = tuple[np.ndarray, np.ndarray]
CONTEXT = 24  # characters
SPLITS = ("validation", "test")  # beside training, as `Task.data` gives them


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every tool searches; `default` is what a user would have compiled."""

    data: Callable[[], tuple[Split, Split, Split]]
    model: Callable[[], Any]
    default: str
    examples: int  # that are trained
    epochs: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Updates of a whole run."""
        return self.epochs * -(-self.examples // self.batch_size)

    def compiled(self, optimizer: Any) -> Any:
        """A new model with the cross-entropy of logits as its loss."""
        import keras

        model = self.model()
        model.compile(
            optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        return model


@cache
def splits_of(task: Task) -> tuple[Split, Split]:
    """Training and validation, loaded once a process."""
    return task.data()[:2]


def _images(count: int) -> tuple[Split, Split, Split]:
    images, labels = mnist_images()
    x = images.reshape(-1, 28, 28, 1).astype("float32") / 255
    y = labels.astype("int32")
    cuts = (slice(0, count), slice(4000, 6000), slice(6000, 10000))
    return tuple((x[cut], y[cut]) for cut in cuts)  # type: ignore[return-value]


def _characters() -> tuple[Split, Split, Split]:
    """Windows of the first eight tenths of the text, of the ninth and of the last."""
    windows = np.lib.stride_tricks.sliding_window_view(text_characters(), CONTEXT + 1)
    random, tenth = np.random.default_rng(0), len(windows) // 10
    parts = (
        (0, 8 * tenth, 6000),
        (8 * tenth, 9 * tenth, 2000),
        (9 * tenth, 10 * tenth, 4000),
    )
    taken = [
        windows[random.integers(low, high - CONTEXT, size)] for low, high, size in parts
    ]
    return tuple((each[:, :-1], each[:, -1]) for each in taken)  # type: ignore[return-value]


def _mlp() -> Any:
    from keras import Sequential, layers

    hidden = [layers.Dense(64, "tanh") for _ in range(8)]
    return Sequential(
        [layers.Input((28, 28, 1)), layers.Flatten(), *hidden, layers.Dense(10)]
    )


def _characters_model() -> Any:
    from keras import Sequential, layers

    hidden = [layers.Dense(160, "relu"), layers.Dense(96, "relu")]
    return Sequential(
        [
            layers.Input((CONTEXT,), dtype="int32"),
            layers.Embedding(VOCABULARY, 16),
            layers.Flatten(),
            *hidden,
            layers.Dense(VOCABULARY),
        ]
    )


def _cnn() -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(24, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


TASKS = {
    "mlp": Task(
        data=lambda: _images(3000),
        model=_mlp,
        default="sgd",
        examples=3000,
        epochs=6,
        batch_size=64,
    ),
    "characters": Task(
        data=_characters,
        model=_characters_model,
        default="adam",
        examples=6000,
        epochs=4,
        batch_size=64,
    ),
    "cnn": Task(
        data=lambda: _images(4000),
        model=_cnn,
        default="adam",
        examples=4000,
        epochs=4,
        batch_size=64,
    ),
}
