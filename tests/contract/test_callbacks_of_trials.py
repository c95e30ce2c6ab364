"""A study's `callbacks(trial)`: what it is told, and that it is called once for every
attempt in every engine.
"""

import dataclasses
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from engine_world import World, definition, spec
from plain_keras import inspected

import lrsearch
from lrsearch import SearchSpace, TrialInfo
from lrsearch.engine import create_engine, inspect_study, open_study
from lrsearch.engine.callbacks import kept_of
from lrsearch.engine.stack import Stack
from lrsearch.engine.vectorized import VectorizedEngine
from lrsearch.values import Snapshot, Status

pytestmark = pytest.mark.tensorflow
C = keras.callbacks


class Epochs(C.Callback):
    """Counts the epochs that it saw; acts on no batch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(epoch)


class Batches(C.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class Factory:
    """A study's `callbacks(trial)` that notes its calls; `make` makes the callbacks."""

    def __init__(self, make):
        self.make, self.calls, self.made = make, [], []

    def __call__(self, trial):
        self.calls.append(trial)
        made = self.make(trial)
        self.made.append(made)
        return made

    @property
    def labels(self):
        return [each.label for each in self.calls]


def ran(factory, engine, *specs, **fields):
    """Outcomes by trial, after an inspection."""
    loaded, facts = inspected(definition(callbacks=factory, **fields))
    assert factory.labels == ["first look"]
    made = engine(loaded) if callable(engine) else create_engine(engine, loaded)
    outcomes = {each.trial_id: each for each in World(*specs).run(made)}
    assert all(each.status is Status.COMPLETE for each in outcomes.values()), outcomes
    return outcomes, facts


THREE = (
    spec(1, yours=True),
    spec(2, seed=8, optimizer="sgd"),
    spec(
        3,
        label="retest 1 of trial 2",
        number=2,
        retest=1,
        test_split=True,
        optimizer="sgd",
    ),
)
ONCE = ["first look", "retest 1 of trial 2", "trial 1", "trial 2"]
MADE = {
    "called at epochs": lambda _trial: [Epochs()],
    "called at batches": lambda _trial: [Batches()],
    "taken out of searched trials": lambda _trial: [C.EarlyStopping(patience=100)],
}


# One cell for each way that an attempt goes: `graph`; the hand-over from rows by way of
# `graph` to `fit`; `auto`, which times rows before it gives them on. In the other cells
# the attempts go one of these ways, or a part of it.
WAYS = {
    ("called at epochs", "graph"),
    ("called at batches", "vectorized"),
    ("taken out of searched trials", "auto"),
}


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        pytest.param(
            kind,
            engine,
            marks=() if (kind, engine) in WAYS else pytest.mark.slow_matrix,
        )
        for kind in MADE
        for engine in ("fit", "graph", "vectorized", "auto")
    ],
)
def test_callbacks_are_made_once_an_attempt_and_once_before(kind, engine):
    factory = Factory(MADE[kind])
    outcomes, _ = ran(factory, engine, *THREE)
    assert sorted(factory.labels) == ONCE
    if engine == "vectorized":
        beside = kind == "taken out of searched trials"
        assert (outcomes[2].engine == "vectorized") is beside, outcomes[2].notes
    if kind == "called at epochs":
        assert all(made[0].seen == [0, 1, 2, 3] for made in factory.made[1:]), (
            "each has seen its own training alone"
        )


def test_a_trial_with_callbacks_of_its_own_trains_alone_beside_rows_without_any():
    factory = Factory(lambda trial: [Epochs()] if trial.number == 2 else [])
    specs = [
        spec(number, number=number, seed=number, optimizer="sgd")
        for number in (1, 2, 3)
    ]
    outcomes, _ = ran(factory, VectorizedEngine, *specs)
    assert {number: each.engine for number, each in outcomes.items()} == {
        1: "vectorized",
        2: "graph",
        3: "vectorized",
    }
    assert "trained alone: the study has callbacks" in outcomes[2].notes
    assert factory.made[factory.labels.index("trial 2")][0].seen == [0, 1, 2, 3]
    assert len(factory.calls) == 4


def test_rows_that_cannot_join_or_go_on_keep_the_callbacks_that_were_made_for_them(
    monkeypatch,
):
    def broken(*_):
        raise ValueError("no such operation")

    factory = Factory(MADE["taken out of searched trials"])
    loaded, _ = inspected(definition(callbacks=factory))
    specs = spec(1, optimizer="sgd"), spec(2, seed=8, optimizer="sgd")
    for name in ("_join", "_train"):
        factory.calls.clear()
        with monkeypatch.context() as patched:
            patched.setattr(Stack, name, broken)
            outcomes = World(*specs).run(VectorizedEngine(loaded))
        assert {each.status for each in outcomes} == {Status.COMPLETE}
        assert all("no such operation" in each.notes[0] for each in outcomes)
        assert factory.labels == ["trial 1", "trial 2"]


class Noise(keras.layers.Layer):
    """Draws from TensorFlow's own generator, so that no kept graph could begin anew."""

    def call(self, x):
        return x + tf.random.normal(tf.shape(x), stddev=1e-3)


def noisy():
    made = keras.Sequential([keras.layers.Input((5,)), Noise(), keras.layers.Dense(1)])
    made.compile("adam", "mse", metrics=["mae"])
    return made


def test_an_attempt_that_begins_anew_in_another_engine_has_callbacks_that_saw_nothing_of_the_first_beginning():
    class Begun(Epochs):
        begun = 0

        def on_train_begin(self, logs=None):
            self.begun += 1

    factory = Factory(lambda _trial: [Begun()])
    two = spec(1, optimizer="sgd"), spec(2, seed=8, optimizer="sgd")
    outcomes, _ = ran(factory, "graph", *two, build_model=noisy)
    assert [each.engine for each in outcomes.values()] == ["fit", "fit"]
    assert factory.labels == ["first look", "trial 1", "trial 1", "trial 2"], (
        "the first had begun in the graph"
    )
    assert [(each[0].begun, each[0].seen) for each in factory.made[2:]] == [
        (1, [0, 1, 2, 3])
    ] * 2


@pytest.fixture(scope="module")
def refusing():
    """Callbacks that cannot be made for trial 1, and their study, inspected once for all engines."""

    def make(trial):
        if trial.number == 1:
            raise ConnectionError("the tracker is away")
        return []

    factory = Factory(make)
    loaded, _ = inspected(definition(callbacks=factory))
    assert factory.labels == ["first look"]
    return factory, loaded


@pytest.mark.parametrize("engine", ["fit", "graph", "vectorized"])
def test_callbacks_that_cannot_be_made_fail_their_own_trial_and_no_other(
    engine, refusing
):
    factory, loaded = refusing
    factory.calls.clear()
    specs = [
        spec(number, number=number, seed=number, optimizer="sgd") for number in (1, 2)
    ]
    outcomes = World(*specs).run(create_engine(engine, loaded))
    failed, well = sorted(outcomes, key=lambda each: each.trial_id)
    assert (failed.status, failed.reason) == (
        Status.FAILED,
        "ConnectionError: the tracker is away",
    )
    assert (well.status, well.engine) == (Status.COMPLETE, engine)
    assert factory.labels == ["trial 1", "trial 2"]


def test_a_worker_that_did_not_inspect_the_study_does_not_ask_before_its_trials():
    factory = Factory(lambda _trial: [Epochs()])
    study = definition(callbacks=factory)
    facts = inspect_study(study)
    engine = create_engine("auto", open_study(study, facts=facts))
    assert "the study has callbacks" in engine.calibrate(None)["reason"]
    assert factory.labels == ["first look"]
    older = dataclasses.replace(
        facts,
        findings={
            name: each for name, each in facts.findings.items() if name != "callbacks"
        },
    )
    engine = create_engine("auto", open_study(study, facts=older))
    assert "the study has callbacks" in engine.calibrate(None)["reason"]
    assert factory.labels == ["first look"] * 2, (
        "of a study that an older version inspected"
    )


def test_the_first_look_has_a_folder_that_goes_with_it():
    folders = []

    def make(trial):
        (trial.folder / "log.txt").write_text("begun", encoding="utf-8")
        folders.append(trial.folder)
        return [Epochs()]

    factory = Factory(make)
    inspect_study(definition(callbacks=factory))
    [look] = factory.calls
    assert (look.first_look, look.number, look.retest, look.label) == (
        True,
        None,
        None,
        "first look",
    )
    assert not folders[0].exists()


def test_a_resumed_attempt_says_from_which_epoch(tmp_path):
    factory = Factory(lambda trial: [C.CSVLogger(trial.folder / "log.csv")])
    loaded, _ = inspected(definition(callbacks=factory))
    engine = create_engine("graph", loaded)
    first = World(
        spec(1, optimizer="sgd", folder=str(tmp_path / "attempt-1")), keep=True
    )
    first.run(engine)
    snapshot = next(
        each
        for each in first.snapshots
        if isinstance(each, Snapshot) and (each.epoch, each.batch) == (2, 0)
    )
    second = {"attempt": 2, "resume": snapshot, "folder": str(tmp_path / "attempt-2")}
    World(spec(1, optimizer="sgd", **second)).run(engine)
    assert [(each.attempt, each.resumed_epochs) for each in factory.calls[1:]] == [
        (1, 0),
        (2, 2),
    ]
    lines = {
        each.parent.name: len(each.read_text().splitlines()) - 1
        for each in tmp_path.glob("*/log.csv")
    }
    assert lines == {"attempt-1": 4, "attempt-2": 2}


def test_what_writes_into_the_trials_folder_stays_there_and_what_writes_elsewhere_is_moved_in(
    tmp_path,
):
    inside = C.TensorBoard(tmp_path)
    deeper = C.CSVLogger(tmp_path / "a" / "log.csv")
    elsewhere = C.ModelCheckpoint("/x/m.keras")
    kept_of([inside, deeper, elsewhere], yours=True, folder=str(tmp_path))
    found = [inside.log_dir, deeper.filename, elsewhere.filepath]
    assert [Path(each) for each in found] == [
        tmp_path,
        tmp_path / "a" / "log.csv",
        tmp_path / "m.keras",
    ]


def test_a_whole_search_tells_its_callbacks_which_training_is_theirs(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    told = []

    def callbacks(trial: TrialInfo):
        told.append(trial)
        (trial.folder / "mine.txt").touch()
        return [Epochs()]

    study = definition(
        callbacks=callbacks, space=SearchSpace(optimizers=["sgd"]), epochs=1
    )
    result = lrsearch.search(study, name="mine", trials=2, retest=1, quiet=True)
    assert {each.label: (each.number, each.retest, each.yours) for each in told} == {
        "first look": (None, None, False),
        "trial 0": (0, None, True),
        "trial 1": (1, None, False),
        "retest 1 of trial 0": (0, 1, True),
        "retest 1 of trial 1": (1, 1, False),
    }
    assert len(told) == 5
    records = {each.label: each for each in result.records}
    assert all(
        (each.seed, each.setting)
        == (records[each.label].seed, records[each.label].setting)
        for each in told[1:]
    )
    assert len({each.folder for each in told}) == 5
    assert [(each.folder / "mine.txt").exists() for each in told] == [
        not each.first_look for each in told
    ]
