"""Banks of real trainings: many seeds of many settings, with every held-out row's score.

Small networks in NumPy, all seeds of a setting side by side. The held-out rows of a
bank are the population: a validation split is drawn from them, and the mean over all of
them is the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

HIDDEN = 32
BATCH = 16
EPOCHS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """scores: (settings, seeds, rows) float32, costs: less is better."""

    name: str
    scores: np.ndarray

    @cached_property
    def truth(self) -> np.ndarray:
        """(settings,) the mean cost over all seeds and rows."""
        return self.row_means.mean(axis=1)

    @cached_property
    def row_means(self) -> np.ndarray:
        """(settings, rows) the mean cost over all seeds."""
        return self.scores.mean(axis=1, dtype=float)

    @cached_property
    def seed_variances(self) -> tuple[np.ndarray, np.ndarray]:
        """(settings,) variances by seed: of the mean over all rows, and of the cost at one row."""
        values = self.scores.mean(axis=2, dtype=float)
        rest = (
            self.scores
            - self.row_means[:, None]
            - values[:, :, None]
            + self.truth[:, None, None]
        )
        return values.var(axis=1, ddof=1), rest.var(axis=(1, 2))

    def combined_deviation(self, one: int, other: int, *, rows: int) -> float:
        """sqrt(s^2 + r^2) of two settings.

        s: the standard deviation of a training by its seed, on one split. r: the
        standard deviation, over splits of so many rows, of the difference between the
        two settings.
        """
        whole, each_row = (part[[one, other]].mean() for part in self.seed_variances)
        own = (self.row_means[one] - self.row_means[other]).var()
        return float(np.sqrt(whole + (each_row + own) / rows))

    def levelled(self) -> Bank:
        """The same settings, each moved to the same truth: they differ in which rows they like."""
        moved = self.scores - self.truth[:, None, None] + self.truth.mean()
        return Bank(name=self.name, scores=moved.astype("float32"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """x: (rows, inputs). y: (rows, outputs), float32. Classes are one-hot."""

    name: str
    x: np.ndarray
    y: np.ndarray
    training: int  # the first so many rows
    classes: bool


def tasks() -> list[Task]:
    """A noisy regression, and two easy classifications: scikit-learn's own data.

    In the cancer's a few confident mistakes carry nearly all of the loss.
    """
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    diabetes = Task(
        name="diabetes",
        x=(x[order] / x.std(axis=0)).astype("float32"),
        y=((y[order, None] - y.mean()) / y.std()).astype("float32"),
        training=180,
        classes=False,
    )
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    digits = Task(
        name="digits",
        x=(x[order] / 16).astype("float32"),
        y=np.eye(10, dtype="float32")[y[order]],
        training=600,
        classes=True,
    )
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    cancer = Task(
        name="cancer",
        x=((x - x.mean(axis=0)) / x.std(axis=0))[order].astype("float32"),
        y=np.eye(2, dtype="float32")[y[order]],
        training=200,
        classes=True,
    )
    return [diabetes, digits, cancer]


def rates(count: int) -> np.ndarray:
    """(count,) peak rates of momentum SGD, from too low to a little too high."""
    return np.geomspace(2e-3, 2e-1, count)


def train_bank(task: Task, settings: np.ndarray, *, seeds: int, seed: int = 0) -> Bank:
    """A bank of these peak rates; settings whose loss is not finite are left out."""
    scores = [
        train(task, rate, seeds=seeds, seed=seed + n) for n, rate in enumerate(settings)
    ]
    kept = [
        each
        for each in scores
        if np.isfinite(each).all() and each.mean() < 10 * scores[0].mean()
    ]
    return Bank(name=task.name, scores=np.array(kept, dtype="float32"))


def train(task: Task, rate: float, *, seeds: int, seed: int) -> np.ndarray:
    """(seeds, rows) costs of the held-out rows, after momentum SGD with a linear decay."""
    random = np.random.default_rng(seed)
    sizes = [task.x.shape[1], HIDDEN, task.y.shape[1]]
    weights = [
        random.normal(size=(seeds, a, b)).astype("float32") * np.float32((2 / a) ** 0.5)
        for a, b in pairwise(sizes)
    ]
    weights += [np.zeros((seeds, 1, b), "float32") for b in sizes[1:]]
    speeds = [np.zeros_like(each) for each in weights]
    steps = task.training // BATCH
    with np.errstate(all="ignore"):
        for step in range(EPOCHS * steps):
            if step % steps == 0:
                order = np.argsort(random.random((seeds, task.training)), axis=1)
            rows = order[:, (step % steps) * BATCH : (step % steps + 1) * BATCH]
            now = np.float32(rate * (1 - step / (EPOCHS * steps)))
            slopes = _slopes(task, weights, rows)
            speeds = [
                np.float32(0.9) * a - now * b
                for a, b in zip(speeds, slopes, strict=True)
            ]
            weights = [a + b for a, b in zip(weights, speeds, strict=True)]
        return _costs(task, weights)


def _forward(weights: list[np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second, bias, last = weights
    hidden = np.maximum(x @ first + bias, 0)
    return hidden, hidden @ second + last


def _slopes(
    task: Task, weights: list[np.ndarray], rows: np.ndarray
) -> list[np.ndarray]:
    x, y = task.x[rows], task.y[rows]
    hidden, out = _forward(weights, x)
    error = (_softmax(out) - y if task.classes else 2 * (out - y)) / np.float32(BATCH)
    back = (error @ weights[1].transpose(0, 2, 1)) * (hidden > 0)
    return [
        x.transpose(0, 2, 1) @ back,
        hidden.transpose(0, 2, 1) @ error,
        back.sum(axis=1, keepdims=True),
        error.sum(axis=1, keepdims=True),
    ]


def _softmax(out: np.ndarray) -> np.ndarray:
    powers = np.exp(out - out.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _costs(task: Task, weights: list[np.ndarray]) -> np.ndarray:
    """(seeds, rows): cross-entropy of classes, absolute error of numbers."""
    x, y = task.x[task.training :], task.y[task.training :]
    out = _forward(weights, x[None])[1]
    if not task.classes:
        return np.abs(out - y)[..., 0]
    return -np.log(np.maximum((_softmax(out) * y).sum(axis=-1), np.float32(1e-7)))
