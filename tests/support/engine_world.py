"""A small study, specs of trials, and a world that notes what an engine tells it."""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import pytest

from lrsearch import StudyDefinition
from lrsearch.engine import ENGINES, create_engine, open_study
from lrsearch.values import Setting, TrialSpec, Verdict

EPOCHS, EXAMPLES, BATCH = 4, 37, 8
# all that train themselves; `auto` hands on
TRAINING_ENGINES = tuple(name for name in ENGINES if name != "auto")


def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(EXAMPLES, 5)).astype("float32")
    y = (x[:, :1] * 2 - x[:, 1:2]).astype("float32")
    return (x, y), (x[:11], y[:11]), (x[5:19], y[5:19])


def even_data():
    """The same study without a shorter last batch, which `vectorized` traces apart, in
    training and in validation; test_equality.py holds the shorter ones of every cell.
    """
    x, y = data()[0]
    x, y = (np.concatenate([each, each[: BATCH - EXAMPLES % BATCH]]) for each in (x, y))
    return (x, y), (x[:16], y[:16]), (x[5:21], y[5:21])


def model(*, norm=False):
    """Small, since every test traces it anew: batch normalisation doubles that, and is
    for those who look at its state.
    """
    layers = keras.layers
    middle = [layers.BatchNormalization()] if norm else []
    made = keras.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(4, "tanh"),
            *middle,
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    made.compile(keras.optimizers.Adam(1e-2), "mse", metrics=["mae"])
    return made


def normed():
    """The same with batch normalisation."""
    return model(norm=True)


def definition(**changes):
    """A study whose direction is known, as a worker knows it of the stored study: else
    each engine would try a step to learn it.
    """
    known = {
        "objective": "val_mae",
        "direction": "minimize",
        "epochs": EPOCHS,
        "batch_size": BATCH,
    }
    known |= {"build_model": model, "load_data": even_data}
    return StudyDefinition(**(known | changes))


def spec(trial_id=1, *, rate=1e-2, optimizer="momentum", schedule="linear", **changes):
    """By momentum: it has slots to keep, and is traced in a third of Adam's operations."""
    shape = {"warmup": 0.2, "final": 0.1} if schedule == "linear" else {"warmup": 0.0}
    chosen = Setting(
        optimizer=optimizer,
        learning_rate=rate,
        schedule=schedule,
        batch_size=BATCH,
        shape=shape,
    )
    known = {
        "trial_id": trial_id,
        "attempt": 1,
        "label": f"trial {trial_id}",
        "setting": chosen,
        "seed": 7,
    }
    return TrialSpec(**(known | changes))


class World:
    """A source, a watcher and a keeper of snapshots that note what an engine tells them."""

    def __init__(self, *specs, verdicts=None, keep=False):
        self.specs = list(specs)
        self.progress = []
        self.snapshots = []
        self.verdicts = verdicts or {}
        self.keep = keep

    def source(self):
        return self.specs.pop(0) if self.specs else None

    def watch(self, progress):
        self.progress.append(progress)
        return (
            self.verdicts.get(progress.epoch, Verdict.KEEP)
            if progress.epoch_end
            else Verdict.KEEP
        )

    def save(self, progress, take):
        # a slow machine is offered others, within epochs
        if self.keep and progress.epoch_end:
            self.snapshots.append(take())

    def run(self, engine):
        return list(engine.train(self.source, self.watch, self.save))

    @property
    def ends(self):
        return [each for each in self.progress if each.epoch_end]


def both(*specs, before=(), programs=None, **fields):
    """Outcomes of the same specs by `graph` and by `fit`, each with data of its own: a
    dataset may go on from trial to trial.

    `before` are trained by `graph` alone, which keeps its graph, and must leave no
    trace in the others; `programs` are graphs that it keeps from other studies of this
    model.
    """
    outcomes = []
    for name in ("graph", "fit"):
        # a dataset's shuffling is seeded where it is made
        keras.utils.set_random_seed(0)
        engine = create_engine(name, open_study(definition(**fields)))
        if name == "graph":
            engine._programs = engine._programs if programs is None else programs
            World(*before).run(engine)
        outcomes.append(World(*specs).run(engine))
    return outcomes


def assert_equal(ours, theirs, *, engine="graph"):
    for one, other in zip(ours, theirs, strict=True):
        assert (one.engine, one.status, one.epochs, one.steps) == (
            engine,
            other.status,
            other.epochs,
            other.steps,
        ), one.notes
        assert one.logs == pytest.approx(other.logs, rel=2e-4, abs=1e-6)
        # neither has one where both diverged
        assert (one.value is None) is (other.value is None)
        assert one.last_value == pytest.approx(other.last_value, rel=2e-4)


def all_at_once(*metrics):
    """A study's fields: a classifier with accumulation, clipping, averaged weights and
    class weights.
    """

    def build_model():
        made = keras.Sequential(
            [
                keras.layers.Input((5,)),
                keras.layers.Dense(4, "relu"),
                keras.layers.Dense(1, "sigmoid"),
            ]
        )
        made.compile(
            keras.optimizers.Adam(1e-2, clipnorm=0.1, use_ema=True),
            "binary_crossentropy",
            metrics=list(metrics),
        )
        return made

    def load_data():
        (x, y), _, _ = data()
        kinds = (y > 0).astype("int32")
        return (x, kinds), (x, kinds), (x, kinds)

    weights = {0: 1.0, 1: 4.0}
    return {
        "build_model": build_model,
        "load_data": load_data,
        "gradient_accumulation_steps": 3,
        "class_weight": weights,
    }
