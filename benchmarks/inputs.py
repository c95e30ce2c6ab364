"""What an engine adds to a training that waits for its data: an epoch beside a plain `model.fit`.

    python benchmarks/inputs.py [--rounds 5] [--batches 60] [--milliseconds 20] [--json]

Every batch takes some milliseconds to come, in which the processor has nothing to do,
as when files are read; the model is small. So an epoch takes as long as its batches,
whoever trains, and what an engine does in between shows. Contenders take turns; the
first epoch of each run, which traces, is left out. Shown are the median of the epochs'
seconds, the percent more than `model.fit` of the same round (the median over the rounds
and its 95 % interval), the fastest epochs, and the milliseconds of a processor per
batch, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import tensorflow as tf

from lrsearch import StudyDefinition
from lrsearch.engine import create_engine, open_study
from lrsearch.values import TrialSpec, Verdict

EPOCHS = 5
Moment = tuple[float, float]  # seconds, and those of a processor
X = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
Y = X[:, :1]


class Slow(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches that take some seconds each, made by two workers."""

    def __init__(self, batches: int, seconds: float) -> None:
        super().__init__(workers=2, max_queue_size=4)
        self.batches, self.seconds = batches, seconds

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, place: int) -> Any:
        time.sleep(self.seconds)
        return X, Y


def pydataset(batches: int, seconds: float) -> Any:
    # Two workers halve the wait.
    return Slow(batches, 2 * seconds), (X, Y)


def dataset(batches: int, seconds: float) -> Any:
    def make(place: Any) -> Any:
        del place
        time.sleep(seconds)
        return X

    def batch(place: Any) -> Any:
        x = tf.ensure_shape(tf.numpy_function(make, [place], tf.float32), X.shape)
        return x, x[:, :1]

    return tf.data.Dataset.range(batches).map(batch).prefetch(2), (X, Y)


def generator(batches: int, seconds: float) -> Any:
    def make() -> Any:
        for _ in range(batches):
            time.sleep(seconds)
            yield X, Y

    kind = (tf.TensorSpec(X.shape, tf.float32), tf.TensorSpec(Y.shape, tf.float32))
    made = tf.data.Dataset.from_generator(make, output_signature=kind)
    return made.apply(tf.data.experimental.assert_cardinality(batches)), (X, Y)


PIPELINES = {"tf.data": dataset, "from_generator": generator, "PyDataset": pydataset}


def definition_of(load_data: Callable[[], Any]) -> StudyDefinition:
    def build_model() -> Any:
        layers = keras.layers
        model = keras.Sequential(
            [layers.Input((16,)), layers.Dense(32, "relu"), layers.Dense(1)]
        )
        model.compile("adam", "mse")
        return model

    return StudyDefinition(
        objective="val_loss",
        direction="minimize",
        epochs=EPOCHS,
        build_model=build_model,
        load_data=load_data,
    )


def now() -> Moment:
    return time.monotonic(), time.process_time()


def lengths_of(ends: list[Moment]) -> list[Moment]:
    return [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(ends)]


def plain(definition: StudyDefinition) -> list[Moment]:
    """Seconds of the epochs of `model.fit` as a user calls it, but for the first."""
    assert definition.load_data
    assert definition.build_model
    train, validation = definition.load_data()
    ends: list[Moment] = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(now()))
    definition.build_model().fit(
        train, validation_data=validation, epochs=EPOCHS, callbacks=[note], verbose=0
    )
    return lengths_of(ends)


def by(engine: str) -> Callable[[StudyDefinition], list[Moment]]:
    """The same for an engine, which tells its caller of every epoch's end."""

    def epochs(definition: StudyDefinition) -> list[Moment]:
        made = create_engine(engine, open_study(definition))
        setting = definition.effective_space().references()[0]
        specs = iter(
            [TrialSpec(trial_id=1, attempt=1, label="", setting=setting, seed=0)]
        )
        ends: list[Moment] = []

        def watch(progress: Any) -> Verdict:
            if progress.epoch_end:
                ends.append(now())
            return Verdict.KEEP

        [end] = made.train(
            lambda: next(specs, None), watch, lambda _progress, _take: None
        )
        assert (end.engine, end.status) == (engine, "complete"), end
        return lengths_of(ends)

    return epochs


CONTENDERS = {"model.fit": plain, "fit": by("fit"), "graph": by("graph")}


def main() -> None:
    given = arguments()
    found: dict[str, dict[str, list[Moment]]] = {}
    for pipeline, make in PIPELINES.items():
        definition = definition_of(
            lambda: make(given.batches, given.milliseconds / 1000)  # noqa: B023
        )
        epochs: dict[str, list[Moment]] = {name: [] for name in CONTENDERS}
        for turn in range(given.rounds):
            names = list(CONTENDERS)
            for name in names[turn % 3 :] + names[: turn % 3]:
                epochs[name] += CONTENDERS[name](definition)
        found[pipeline] = epochs
        if not given.json:
            print(line_of(pipeline, epochs, given.batches), flush=True)
    if given.json:
        print(json.dumps(found))


def line_of(pipeline: str, epochs: dict[str, list[Moment]], batches: int) -> str:
    """The medians and the fastest epochs, how much more than `model.fit`, and the processor."""
    parts = []
    base = [seconds for seconds, _ in epochs["model.fit"]]
    for name, own in epochs.items():
        wall = [seconds for seconds, _ in own]
        more, low, high = more_by_rounds(wall, base)
        least = 100 * (min(wall) / min(base) - 1)
        busy = 1000 * statistics.median(cpu for _, cpu in own) / batches
        beside = f"{more:+.1f} %, {low:+.1f} to {high:+.1f} %, best {least:+.1f} %"
        times = f"{statistics.median(wall):.3f} s ({beside})"
        parts.append(f"{name} {times} {busy:.2f} ms")
    return f"{pipeline}: {', '.join(parts)}"


def more_by_rounds(wall: list[float], base: list[float]) -> tuple[float, float, float]:
    """Percent more than `base`: the median over the rounds, and its 95 % interval by a bootstrap.

    Both lists have EPOCHS - 1 epochs of each round. A round's ratio is that of its
    median epochs, which were trained within a minute of each other, so a load that
    comes and goes cancels.
    """
    each = EPOCHS - 1
    rounds = range(0, len(base), each)
    ratios = [
        statistics.median(wall[at : at + each])
        / statistics.median(base[at : at + each])
        for at in rounds
    ]
    drawn = np.random.default_rng(0).choice(ratios, size=(4000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    middle, low, high = (
        100 * (float(each) - 1) for each in (statistics.median(ratios), low, high)
    )
    return middle, low, high


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--milliseconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
