"""Strangers' tables, where their files are at hand: trainings that nobody here chose or tuned to.

DeepOBS (Schneider et al. 2019): seven networks, three optimizers by 36 constant rates,
whole curves. HPOLib (Klein and Hutter 2019): small regressions, six rates of Adam by
two shapes by four batch sizes, four seeds; a fixed sample of its studies.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from replaying.table import Table

from lrsearch import SearchSpace
from lrsearch.values import Direction, Setting

_OPTIMIZERS = {"GradientDescent": "sgd", "Momentum": "momentum", "Adam": "adam"}
_SWEEP_SEED = 42  # the seed of the sweep over rates; the others repeat the best rate
_LEFT_OUT = ("quadratic_deep",)  # no network
DEEPOBS_SPACE = SearchSpace(
    optimizers=tuple(_OPTIMIZERS.values()),
    schedules=("constant",),
    warmup=0.0,
    final=0.0,
)

_BATCHES, _RATES = (8, 16, 32, 64), (5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1)
_SHAPES = ("cosine", "constant")
_SAMPLED = 10  # studies of each of the four data sets
HPOLIB_SPACE = SearchSpace(
    optimizers=("adam",), schedules=_SHAPES, warmup=0.0, final=0.0, batch_size=_BATCHES
)


def deepobs_tables(folder: Path) -> Iterator[Table]:
    """A table a network; its values are test losses, as DeepOBS has no other split."""
    runs = json.loads(gzip.decompress((folder / "deepobs.json.gz").read_bytes()))
    for problem in sorted({each["problem"] for each in runs} - set(_LEFT_OUT)):
        yield _deepobs_table(
            problem, [each for each in runs if each["problem"] == problem]
        )


def _deepobs_table(problem: str, runs: list[dict]) -> Table:
    sweep = [each for each in runs if each["seed"] == _SWEEP_SEED]
    repeats: dict[tuple[str, float], list[float]] = {}
    for each in runs:
        if each["seed"] != _SWEEP_SEED:
            repeats.setdefault((each["optimizer"], each["lr"]), []).append(
                each["test"][-1]
            )
    seeds = max(map(len, repeats.values()), default=0)
    curves = np.array([each["test"][1:] for each in sweep], dtype=float)
    again = [repeats.get((each["optimizer"], each["lr"]), []) for each in sweep]
    return Table(
        name=f"deepobs {problem}",
        direction=Direction.MINIMIZE,
        steps_per_epoch=100,
        settings=tuple(_deepobs_setting(each) for each in sweep),
        curves=curves,
        values=curves[:, -1],
        retests=np.array(
            [[*found, *[np.nan] * (seeds - len(found))] for found in again]
        ),
    )


def _deepobs_setting(run: dict) -> Setting:
    return Setting(
        optimizer=_OPTIMIZERS[run["optimizer"]],
        learning_rate=run["lr"],
        schedule="constant",
        batch_size=None,
        shape={"warmup": 0.0},
    )


def hpolib_tables(folder: Path, *, seed: int = 0) -> Iterator[Table]:
    """The sample: ten studies of each data set, the same ones for each `seed`."""
    random = np.random.default_rng(seed)
    with np.load(folder / "hpolib_rates.npz") as file:
        for data_set in sorted(file.files):
            # (architecture, batch size, rate, shape, seed) float32
            values = file[data_set]
            for study in sorted(random.choice(len(values), _SAMPLED, replace=False)):
                yield _hpolib_table(f"hpolib {data_set} {study}", values[study])


def _hpolib_table(name: str, values: np.ndarray) -> Table:
    """`values`: (4 batch sizes, 6 rates, 2 shapes, 4 seeds); the first seed is the training."""
    settings = tuple(
        Setting(
            optimizer="adam",
            learning_rate=rate,
            schedule=shape,
            batch_size=batch,
            shape={"warmup": 0.0} | ({"final": 0.0} if shape != "constant" else {}),
        )
        for batch in _BATCHES
        for rate in _RATES
        for shape in _SHAPES
    )
    flat = np.asarray(values, dtype=float).reshape(len(settings), -1)
    return Table(
        name=name,
        direction=Direction.MINIMIZE,
        steps_per_epoch=100,
        settings=settings,
        curves=flat[:, :1],
        values=flat[:, 0],
        retests=flat[:, 1:],
    )
