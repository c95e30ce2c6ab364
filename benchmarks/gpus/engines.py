"""Steps of `benchmarks/gpu.py` that call engines: one process, which reads a step's name a line."""

from __future__ import annotations

import gc
import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrsearch import StudyDefinition
from lrsearch.engine import create_engine, inspect_study, open_study
from lrsearch.engine.calibration import TimedStack, timed_specs, timing_of
from lrsearch.engine.device_memory import forget_peak, read_memory
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.vectorized import VectorizedEngine
from lrsearch.values import TrialSpec, Verdict
from studies import CNN, DIGITS

QUICK = "--quick" in sys.argv
MIB = 2**20


def say(text: str) -> None:
    print(text, flush=True)


# -- what is there ---------------------------------------------------------------------


def devices() -> dict[str, Any]:
    """The GPUs that TensorFlow sees, and whether they compute."""
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(each) for each in gpus]
    build = tf.sysconfig.get_build_info()
    say(f"{len(gpus)} GPUs: {details}; built for {build.get('cuda_version')}")
    if gpus or QUICK:
        one = tf.random.stateless_normal((512, 512), (0, 1))
        exact = np.allclose((one @ one).numpy(), one.numpy() @ one.numpy(), atol=0.2)
        image = tf.nn.conv2d(tf.ones((8, 16, 16, 3)), tf.ones((3, 3, 3, 4)), 1, "VALID")
        compiled = tf.function(lambda x: tf.reduce_sum(x @ x), jit_compile=True)(one)
        say(
            f"matmul {exact}, conv {float(image[0, 0, 0, 0])}, XLA {float(compiled):.1f}"
        )
    memory = asdict(read_memory())
    return {
        "gpus": len(gpus),
        "details": details,
        "memory_mib": {name: round(value / MIB) for name, value in memory.items()},
        "build": {
            name: str(value) for name, value in build.items() if "version" in name
        },
    }


# -- engines ---------------------------------------------------------------------------


def study_of(text: str, **changes: Any) -> StudyDefinition:
    """The definition in a study file's text, with these fields changed."""
    names: dict[str, Any] = {"__name__": "study"}
    exec(compile(text, "study", "exec"), names)
    functions = {"load_data": names["load_data"], "build_model": names["build_model"]}
    return replace(names["definition"], direction="maximize", **functions, **changes)


def specs_of(
    definition: StudyDefinition, count: int, optimizer: str | None
) -> list[TrialSpec]:
    """Reference settings at falling rates."""
    settings = definition.effective_space().references()
    settings = [each for each in settings if optimizer in {None, each.optimizer}]
    return [
        TrialSpec(
            trial_id=place,
            attempt=1,
            label=f"trial {place}",
            setting=replace(own, learning_rate=own.learning_rate / (1 + place / count)),
            seed=place,
        )
        for place, own in (
            (each, settings[each % len(settings)]) for each in range(count)
        )
    ]


def train(engine: Any, specs: list[TrialSpec]) -> dict[str, Any]:
    """Seconds until each trial ended."""
    waiting, began, ends, notes = list(specs), time.monotonic(), [], set()
    engines = set()

    def source() -> TrialSpec | None:
        return waiting.pop(0) if waiting else None

    for outcome in engine.train(
        source, lambda _: Verdict.KEEP, lambda _progress, _take: None
    ):
        ends.append(round(time.monotonic() - began, 2))
        engines.add(f"{outcome.engine} {outcome.status}")
        notes |= {each[:150] for each in (*outcome.notes, outcome.reason) if each}
    return {
        "first_s": ends[0],
        "further_s": round((ends[-1] - ends[0]) / max(1, len(ends) - 1), 3),
        "all_s": ends[-1],
        "trials": len(ends),
        "engines": sorted(engines),
        "notes": sorted(notes)[:3],
    }


def peak_of(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` found, with the memory that it took at most."""
    gc.collect()
    forget_peak()
    before = read_memory().used
    found = work()
    memory = read_memory()
    mib = round((memory.peak - before) / MIB)
    found |= {"peak_mib": mib, "kept_mib": round((memory.used - before) / MIB)}
    say(json.dumps(found))
    return found


def widths() -> dict[str, Any]:
    """Digits by rows: milliseconds of a row's batch, and memory, by width; then `auto`'s choice."""
    loaded = open_study(study_of(DIGITS, **({"epochs": 2} if QUICK else {})))
    engine = VectorizedEngine(loaded)
    specs = [each for each in timed_specs(loaded) if not engine.reason_against(each)]
    found: dict[str, Any] = {}
    for label, chosen in (("one optimizer", specs[:1]), ("all optimizers", specs)):
        rows = TimedStack(VectorizedEngine(loaded).stack(64), chosen)
        for width in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)[
            : 5 if QUICK else 11
        ]:
            forget_peak()
            before = read_memory().used
            timing = timing_of(rows.training(width, batches=16), enough=0.3)
            mib = (read_memory().peak - before) / MIB
            key = f"{label}, {width}"
            found[key] = {"ms": round(1000 * timing.best, 5), "peak_mib": round(mib, 1)}
            say(f"{key}: {found[key]}, began {timing.beginning:.1f} s")
        found[f"{label}, a row's start, s"] = round(rows.starting, 4)
    auto = create_engine("auto", loaded)
    began = time.monotonic()
    found["auto"] = {
        **auto.calibrate(None),
        "calibrated_s": round(time.monotonic() - began, 1),
    }
    say(str(found["auto"]["reason"]))
    for width in (2,) if QUICK else (32, 256):
        made = VectorizedEngine(loaded, width=width)
        own = specs_of(loaded.definition, width, None)
        found[f"{width} trials at once, whole"] = peak_of(lambda: train(made, own))  # noqa: B023
    return found


def cnn() -> dict[str, Any]:
    """A small convolutional network by `fit`, by `graph` and by a plain Optuna loop."""
    definition = study_of(CNN, **({"epochs": 1} if QUICK else {}))
    count, found = 2 if QUICK else 4, {}
    for name in ("graph", "fit"):
        engine = create_engine(name, open_study(definition))
        own = specs_of(definition, count, "adam")
        found[name] = peak_of(lambda: train(engine, own))  # noqa: B023
    found["optuna"] = peak_of(lambda: optuna_loop(definition, count))
    auto = create_engine("auto", open_study(definition))
    began = time.monotonic()
    found["auto"] = {
        **auto.calibrate(None),
        "calibrated_s": round(time.monotonic() - began, 1),
    }
    say(str(found["auto"]["reason"]))
    return found


def optuna_loop(definition: StudyDefinition, count: int) -> dict[str, Any]:
    """The loop of Optuna's own tutorial around `model.fit`."""
    import optuna

    assert definition.load_data
    assert definition.build_model
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    (x, y), validation = definition.load_data()
    ends, began = [], time.monotonic()

    def objective(trial: Any) -> float:
        keras.backend.clear_session()
        model = definition.build_model()
        rate = trial.suggest_float("rate", 1e-4, 1e-2, log=True)
        loss, metrics = "sparse_categorical_crossentropy", ["accuracy"]
        model.compile(keras.optimizers.Adam(rate), loss, metrics=metrics)
        options = {
            "batch_size": definition.batch_size,
            "epochs": definition.epochs,
            "verbose": 0,
        }
        history = model.fit(x, y, validation_data=validation, **options)
        ends.append(round(time.monotonic() - began, 2))
        return float(history.history["val_accuracy"][-1])

    optuna.create_study(direction="maximize").optimize(objective, n_trials=count)
    further = (ends[-1] - ends[0]) / max(1, count - 1)
    return {"first_s": ends[0], "further_s": round(further, 3), "all_s": ends[-1]}


# -- large models, and inputs that are slow --------------------------------------------


def wide_study(
    width: int, depth: int, *, batches: int, batch: int = 256
) -> StudyDefinition:
    """A dense network of about width * width * depth parameters."""

    def load_data() -> Any:
        random = np.random.default_rng(0)
        x = random.normal(size=(batches * batch, 256)).astype("float32")
        y = random.integers(0, 10, size=len(x))
        return (x, y), (x[:batch], y[:batch])

    def build_model() -> Any:
        hidden = [keras.layers.Dense(width, "relu") for _ in range(depth)]
        model = keras.Sequential(
            [keras.layers.Input((256,)), *hidden, keras.layers.Dense(10, "softmax")]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return StudyDefinition(
        objective="val_accuracy",
        direction="maximize",
        epochs=3,
        batch_size=batch,
        build_model=build_model,
        load_data=load_data,
    )


def large() -> dict[str, Any]:
    """A model of 200 million parameters: each engine's further epoch beside plain `model.fit`."""
    width, depth = (256, 2) if QUICK else (8192, 3)
    definition = wide_study(width, depth, batches=10 if QUICK else 60)
    found: dict[str, Any] = {"plain": plain_epochs(definition)}
    say(str(found))
    for name in ("fit", "graph"):
        found[name] = peak_of(lambda: epochs_of(name, definition))  # noqa: B023
    gc.collect()
    auto = create_engine("auto", open_study(definition))
    forget_peak()
    found["auto"] = {
        **auto.calibrate(None),
        "peak_mib": round(read_memory().peak / MIB),
    }
    say(str(found["auto"]))
    return found


def plain_epochs(definition: StudyDefinition, epochs: int = 4) -> dict[str, Any]:
    """Seconds of the epochs of a plain `model.fit` after the first one, which traces."""
    assert definition.load_data
    assert definition.build_model
    keras.backend.clear_session()
    gc.collect()
    split, validation = definition.load_data()
    model, times = definition.build_model(), Times()
    data = {"x": split}
    if isinstance(split, tuple):
        data = {"x": split[0], "y": split[1], "batch_size": definition.batch_size}
    options = {"validation_data": validation, "callbacks": [times], "verbose": 0}
    model.fit(**data, epochs=epochs, **options)
    return {"epoch_s": times.epochs()}


class Times(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when each epoch ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        del epoch, logs
        self.ends.append(time.monotonic())

    def epochs(self) -> list[float]:
        return [round(after - one, 4) for one, after in itertools.pairwise(self.ends)]


def epochs_of(name: str, definition: StudyDefinition) -> dict[str, Any]:
    """The same for an engine, by the ends of epochs that it tells its caller."""
    engine = create_engine(name, open_study(replace(definition, epochs=4)))
    specs, ends = specs_of(definition, 1, "adam"), []

    def watch(progress: Any) -> Verdict:
        if progress.epoch_end:
            ends.append(time.monotonic())
        return Verdict.KEEP

    waiting: Iterator[TrialSpec] = iter(specs)
    outcomes = list(
        engine.train(lambda: next(waiting, None), watch, lambda _progress, _take: None)
    )
    lengths = [round(after - one, 4) for one, after in itertools.pairwise(ends)]
    outcome = outcomes[0]
    return {
        "epoch_s": lengths,
        "by": f"{outcome.engine} {outcome.status}",
        "said": outcome.reason,
    }


def inputs() -> dict[str, Any]:
    """Batches that take 10 ms to make: a dataset, and a PyDataset with two workers."""
    found: dict[str, Any] = {}
    for label, load_data in (("tf.data", slow_dataset), ("PyDataset", slow_rows)):
        definition = replace(
            wide_study(512, 2, batches=1), load_data=load_data, batch_size=None
        )
        found[label] = {"plain": plain_epochs(definition)}
        for name in ("fit", "graph"):
            found[label][name] = epochs_of(name, definition)
        say(f"{label}: {found[label]}")
    return found


BATCHES, SLEEP = 60, 0.01


def slow_dataset() -> Any:
    def make(place: Any) -> Any:
        time.sleep(SLEEP)
        return (
            np.random.default_rng(int(place)).normal(size=(256, 256)).astype("float32")
        )

    def batch(place: Any) -> Any:
        x = tf.ensure_shape(tf.numpy_function(make, [place], tf.float32), (256, 256))
        return x, tf.cast(x[:, 0] > 0, tf.int32)

    every = tf.data.Dataset.range(BATCHES).map(batch)
    return every.prefetch(2), every.take(1)


class SlowRows(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches that take 10 ms each."""

    def __init__(self, batches: int) -> None:
        super().__init__(workers=2)
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, place: int) -> Any:
        time.sleep(SLEEP)
        x = np.random.default_rng(place).normal(size=(256, 256)).astype("float32")
        return x, (x[:, 0] > 0).astype("int32")


def slow_rows() -> Any:
    return SlowRows(BATCHES), SlowRows(1)


# -- memory ----------------------------------------------------------------------------


def memory() -> dict[str, Any]:
    """Models that take a third and most of the device: what `auto` does, and that memory lasts."""
    return {str(share): filling(share) for share in (0.35, 0.8)}


def filling(share: float) -> dict[str, Any]:
    """A model that takes this share of the device, with Adam's slots and gradients."""
    keras.backend.clear_session()
    gc.collect()
    limit = read_memory().limit
    width = 512 if QUICK else int((limit * share / 16 / 3) ** 0.5) // 128 * 128
    definition = replace(wide_study(width, 3, batches=8), epochs=2)
    say(f"3 layers of {width}: {3 * width * width * 16 / MIB:.0f} MiB with Adam")
    loaded = LoadedStudy(definition=definition)
    inspect_study(definition, loaded=loaded)
    auto = create_engine("auto", open_study(definition, loaded=loaded))
    gc.collect()
    forget_peak()
    began = time.monotonic()
    figures = auto.calibrate(None)
    found = {
        "auto": figures["reason"],
        "calibrated_s": round(time.monotonic() - began, 1),
    }
    found |= {
        "limit_mib": round(limit / MIB),
        "peak_mib": round(read_memory().peak / MIB),
    }
    found["step_mib"] = round(loaded.findings.step_bytes / MIB)
    say(str(found))
    found["train"] = peak_of(lambda: train(auto, specs_of(definition, 3, None)))
    return found


def rows() -> dict[str, Any]:
    """Rows that cannot fit: they are asked for all the same, and must fall back and say so."""
    limit = read_memory().limit
    width = 256 if QUICK else int((limit / 20 / 16 / 3) ** 0.5) // 128 * 128
    definition = replace(wide_study(width, 3, batches=4), epochs=1)
    engine = VectorizedEngine(open_study(definition), width=32)
    return peak_of(
        lambda: train(engine, specs_of(definition, 4 if QUICK else 32, "adam"))
    )


STEPS = {
    each.__name__: each for each in (devices, widths, cnn, large, inputs, memory, rows)
}


def main() -> None:
    for line in sys.stdin:
        try:
            found = STEPS[line.strip()]()
        except Exception as error:  # noqa: BLE001 - said, and the next step goes on
            found = {"error": f"{type(error).__name__}: {str(error)[:800]}"}
            traceback.print_exc(file=sys.stdout)
        say("FOUND " + json.dumps(found, default=str))
        keras.backend.clear_session()
        gc.collect()


if __name__ == "__main__":
    main()
