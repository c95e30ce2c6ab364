"""A trial that is stopped within an epoch goes on at the very update, and ends as if it
had not been stopped.
"""

import shutil
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from engine_world import (
    BATCH,
    EPOCHS,
    World,
    all_at_once,
    data,
    definition,
    model,
    normed,
    spec,
)

from lrsearch.engine import (
    attempt,
    create_engine,
    open_study,
    program,
    resuming,
    training,
)
from lrsearch.storage import open_ledger
from lrsearch.storage.schema import migrate_database
from lrsearch.values import Status, TrialSpec, Verdict
from lrsearch.worker.checkpoints import CheckpointStore, folder_of

pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def _asks_after_every_batch(monkeypatch):
    monkeypatch.setattr(attempt, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(program, "CALL_SECONDS", 0.0)


@pytest.fixture(scope="module")
def engines():
    """Of one study whose model has dropout and batch normalisation; each keeps its graphs."""
    vectorized = engine_of("vectorized", build_model=normed)
    return {
        "fit": engine_of("fit", build_model=normed),
        "graph": vectorized.graph,
        "vectorized": vectorized,
    }


@pytest.fixture(scope="module")
def whole(engines):
    """By engine, the run of `spec()` that goes on to its end; trained once for all tests."""

    @cache
    def run(name):
        world, real = World(spec()), training.take_arrays
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(
                training,
                "take_arrays",
                lambda *given, **named: (
                    world.snapshots.append(1) or real(*given, **named)
                ),
            )
            [world.outcome] = world.run(engines[name])
        return world

    return run


@pytest.fixture(scope="module")
def interrupted(engines):
    """By engine, the checkpoint of `spec()` that was interrupted within its second epoch."""
    return cache(lambda name: stopped(engines[name], (1, 3)))


class Passing(World):
    """Keeps the snapshot of one place."""

    def __init__(self, place, *specs):
        super().__init__(*specs)
        self.place, self.taken = place, None

    def save(self, progress, take):
        if progress.place >= self.place and self.taken is None:
            self.taken = take()


class Stopper(Passing):
    """Lets the trial be interrupted at that place, too."""

    def watch(self, progress):
        super().watch(progress)
        return Verdict.INTERRUPT if progress.place >= self.place else Verdict.KEEP


def engine_of(name, **fields):
    return create_engine(name, open_study(definition(**fields)))


def stopped(engine, place, **changes):
    """The checkpoint of a trial that is interrupted at a place: epochs, and batches of the next."""
    world = Stopper(place, spec(**changes))
    [outcome] = world.run(engine)
    assert outcome.status is Status.INTERRUPTED
    assert (world.taken.epoch, world.taken.batch) == place
    return world.taken


def assert_same(ours, theirs):
    """Bit for bit."""
    assert (ours.status, ours.value, ours.best_value, ours.best_epoch) == (
        theirs.status,
        theirs.value,
        theirs.best_value,
        theirs.best_epoch,
    )
    assert ours.logs == theirs.logs
    assert (ours.epochs, ours.steps) == (theirs.epochs, theirs.steps)


ALL = all_at_once("accuracy") | {"objective": "val_loss"}
CASES = {
    "dropout and batch norm": {},
    "accumulation, clipping, averages, class weights": ALL,
    "fewer steps than batches": {"steps_per_epoch": 4},
    "all of these, and fewer steps": ALL | {"steps_per_epoch": 4},
}
PLACES = dict(zip(CASES, ((1, 3), (2, 4), (1, 2), (2, 3)), strict=True))
# The last case is the two before it at once.
APART = ("accumulation, clipping, averages, class weights", "fewer steps than batches")


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(
            case,
            name,
            # `fit` traces each of three runs
            marks=pytest.mark.slow_matrix
            if case in APART or (CASES[case] and name == "fit")
            else (),
        )
        for case in CASES
        for name in ("fit", "graph")
    ],
)
def test_arrays_go_on_at_the_very_update(engines, whole, interrupted, name, case):
    place = PLACES[case]
    if CASES[case]:
        engine, without = engine_of(name, **CASES[case]), World(spec())
        [alone] = without.run(engine)
        taken = stopped(engine, place)
    else:
        engine, without, taken = engines[name], whole(name), interrupted(name)
        alone = without.outcome
    resumed = World(spec(attempt=2, resume=taken))
    [again] = resumed.run(engine)
    assert_same(again, alone)
    assert [each.logs for each in resumed.ends] == [
        each.logs for each in without.ends[place[0] :]
    ], "the running means, too"
    assert [each.rate for each in resumed.ends] == [
        each.rate for each in without.ends[place[0] :]
    ]


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("fit", "schedule_free_adamw"),
        pytest.param("graph", "adam", marks=pytest.mark.slow_matrix),
        ("graph", "schedule_free_adamw"),
    ],
)
def test_a_trial_stopped_in_its_validation_trains_no_batch_of_the_epoch_again(
    engines, name, optimizer
):
    engine = engines[name]
    without, alone, taken = _in_validation(engine, spec(optimizer=optimizer))
    assert (taken.epoch, taken.batch) == (2, 5)
    resumed = World(spec(optimizer=optimizer, attempt=2, resume=taken))
    [again] = resumed.run(engine)
    assert_same(again, alone)
    assert resumed.progress[0].step >= taken.step
    assert [each.logs for each in resumed.ends] == [
        each.logs for each in without.ends[2:]
    ]


def _in_validation(engine, asked):
    """A whole run, its outcome, and the snapshot that is offered last before the third
    epoch's end: in the middle of its validation.
    """

    class Last(World):
        def save(self, progress, take):
            if progress.place == (2, 5):
                self.snapshots.append(take())

    world = Last(asked)
    [outcome] = world.run(engine)
    assert len(world.snapshots) > 1, (
        "one after the last batch, others in the validation"
    )
    return world, outcome, world.snapshots[-1]


@pytest.mark.parametrize(("first", "second"), [("fit", "graph"), ("graph", "fit")])
def test_a_checkpoint_within_an_epoch_of_one_engine_is_resumed_by_the_other(
    engines, whole, interrupted, first, second
):
    alone = whole("graph").outcome
    [again] = World(spec(attempt=2, resume=interrupted(first))).run(engines[second])
    assert again.engine == second
    assert again.value == pytest.approx(alone.value, rel=1e-4)
    assert again.steps == alone.steps


def test_rows_leave_a_trial_that_was_stopped_within_an_epoch_to_graph(
    engines, whole, interrupted
):
    [again] = World(spec(attempt=2, resume=interrupted("graph"))).run(
        engines["vectorized"]
    )
    assert_same(again, whole("graph").outcome)
    assert "trained alone: its checkpoint stands within an epoch" in again.notes


def test_rows_that_are_stopped_within_an_epoch_keep_their_last_epochs_end(
    engines, whole
):
    vectorized, alone = engines["vectorized"], whole("vectorized").outcome

    class Within(World):
        def watch(self, progress):
            super().watch(progress)
            return (
                Verdict.INTERRUPT
                if progress.epoch == 2 and not progress.epoch_end
                else Verdict.KEEP
            )

        def save(self, progress, take):
            if not progress.logs:
                self.snapshots.append(take())

    world = Within(spec())
    [outcome] = world.run(vectorized)
    assert outcome.status is Status.INTERRUPTED
    taken = world.snapshots[-1]
    assert (taken.epoch, taken.batch, taken.step) == (2, 0, 10)
    [again] = World(spec(attempt=2, resume=taken)).run(vectorized)
    assert again.value == alone.value


@pytest.mark.parametrize("name", ["fit", "graph"])
def test_a_snapshot_is_taken_only_when_somebody_wants_it(whole, name):
    assert whole(name).snapshots == []


def test_callbacks_are_told_which_epoch_goes_on_and_the_outcome_says_that_they_began_anew():
    told = []

    class Told(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            told.append("train")

        def on_epoch_begin(self, epoch, logs=None):
            told.append(epoch)

    engine = engine_of("graph", callbacks=lambda: [Told()])
    taken = stopped(engine, (1, 3))
    told.clear()
    [again] = World(spec(attempt=2, resume=taken)).run(engine)
    assert told == ["train", 1, 2, 3]
    assert any("Told began anew within epoch 2" in note for note in again.notes)


def test_callbacks_of_batches_see_the_epochs_own_numbers(interrupted):
    seen = []

    class Batches(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(batch)

    taken = interrupted("fit")
    engine = engine_of("fit", build_model=normed, callbacks=lambda: [Batches()])
    World(spec(attempt=2, resume=taken)).run(engine)
    assert seen == [3, 4, *range(5), *range(5)]


def test_several_steps_an_execution_go_on_after_a_whole_execution():
    def build_model():
        made = model()
        made.compile(
            keras.optimizers.Adam(1e-2), "mse", metrics=["mae"], steps_per_execution=2
        )
        return made

    fields = {"build_model": build_model, "steps_per_epoch": 4}
    engine, passing = engine_of("fit", **fields), Passing((1, 2), spec())
    [alone] = passing.run(engine)
    assert alone.status is Status.COMPLETE
    assert (passing.taken.epoch, passing.taken.batch) == (1, 2)
    by_graph = stopped(engine_of("graph", **fields), (1, 3))
    for taken, apart in ((passing.taken, 0), (by_graph, 1e-4)):
        [again] = World(spec(attempt=2, resume=taken)).run(engine)
        assert again.steps == alone.steps
        assert again.logs == pytest.approx(alone.logs, rel=apart)


def test_what_a_step_of_the_users_own_logs_is_logged_where_only_the_validation_was_left():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, given):
            return {
                **super().train_step(given),
                "mine": keras.ops.sum(self.dense.kernel),
            }

    def build_model():
        made = Own()
        made.compile("adam", "mse", metrics=["mae"])
        return made

    for name in ("fit", "graph"):
        engine = engine_of(name, build_model=build_model)
        _, alone, taken = _in_validation(engine, spec(optimizer="momentum"))
        [again] = World(spec(optimizer="momentum", attempt=2, resume=taken)).run(engine)
        assert_same(again, alone)
        assert "mine" in again.logs


# -- datasets --------------------------------------------------------------------------


def shuffled(seed=3):
    (x, y), validation, test = data()
    made = (
        tf.data.Dataset.from_tensor_slices((x, y)).shuffle(37, seed=seed).batch(BATCH)
    )
    return made, validation, test


def repeated():
    (x, y), validation, test = data()
    return (
        tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).repeat(),
        validation,
        test,
    )


def generated():
    (x, y), validation, test = data()

    def batches():  # tf.data cannot write down where a Python generator stands
        for begin in range(0, len(x), BATCH):
            yield x[begin : begin + BATCH], y[begin : begin + BATCH]

    signature = (tf.TensorSpec((None, 5)), tf.TensorSpec((None, 1)))
    return (
        tf.data.Dataset.from_generator(batches, output_signature=signature).repeat(),
        validation,
        test,
    )


@pytest.fixture(scope="module")
def fresh():
    """Makes an engine: each run has datasets of its own, as in a worker that was started anew.

    The graphs are shared, since a graph holds nothing of the stream that it reads.
    """
    programs = OrderedDict()

    def made(name, load_data, **fields):
        keras.utils.set_random_seed(0)
        engine = engine_of(name, load_data=load_data, batch_size=None, **fields)
        if name == "graph":
            engine._programs = programs
        return engine

    return made


def free(**changes):
    """A spec without a batch size, of the optimizer that is traced soonest."""
    made = spec(optimizer="sgd", **changes)
    return replace(made, setting=replace(made.setting, batch_size=None))


def stopped_stream(engine, place):
    world = Stopper(place, free())
    world.run(engine)
    return world.taken


def whole_and_taken(name, engine_of_run, place):
    """The outcome of a whole run, and a checkpoint of a place: of a run by `graph` that
    is interrupted there; of the whole run itself by `fit`, which traces every run anew.
    """
    if name == "graph":
        [alone] = World(free()).run(engine_of_run())
        return alone, stopped_stream(engine_of_run(), place)
    world = Passing(place, free())
    [alone] = world.run(engine_of_run())
    return alone, world.taken


@pytest.mark.parametrize(("name", "place"), [("fit", (1, 3)), ("graph", (2, 0))])
def test_a_datasets_iterator_goes_on_where_it_stood(fresh, name, place):
    alone, taken = whole_and_taken(
        name, lambda: fresh(name, repeated, steps_per_epoch=4), place
    )
    [again] = World(free(attempt=2, resume=taken)).run(
        fresh(name, repeated, steps_per_epoch=4)
    )
    assert_same(again, alone)
    assert not [note for note in again.notes if "fresh pass" in note]


def test_a_pass_over_a_shuffled_dataset_gives_what_it_had_not_given_yet(fresh):
    """Later passes draw an order of their own: TensorFlow forgets the seeds of a
    shuffle whose end was read ahead.
    """
    whole = World(free())
    whole.run(fresh("graph", shuffled))
    resumed = World(
        free(attempt=2, resume=stopped_stream(fresh("graph", shuffled), (1, 3)))
    )
    resumed.run(fresh("graph", shuffled))
    assert resumed.ends[0].logs == whole.ends[1].logs


def test_a_dataset_that_cannot_be_kept_gives_a_fresh_pass_aloud_and_the_updates_are_as_many(
    fresh,
):
    taken = stopped_stream(fresh("graph", generated, steps_per_epoch=5), (1, 3))
    [again] = World(free(attempt=2, resume=taken)).run(
        fresh("graph", generated, steps_per_epoch=5)
    )
    assert again.steps == 5 * EPOCHS
    assert [
        note
        for note in again.notes
        if "rest of epoch 2 was trained on a fresh pass over the dataset" in note
        and "stateful" in note
    ]


def test_a_large_shuffle_buffer_is_not_written_aloud(fresh, monkeypatch):
    monkeypatch.setattr(resuming, "MOST_STREAM_BYTES", 500)
    taken = stopped_stream(fresh("graph", shuffled), (1, 3))
    assert not [name for name in taken.arrays if name.startswith("stream")]
    [again] = World(free(attempt=2, resume=taken)).run(fresh("graph", shuffled))
    assert [note for note in again.notes if "its buffers hold about" in note]


def test_a_state_that_cannot_be_read_gives_a_fresh_pass_aloud(fresh):
    taken = stopped_stream(fresh("graph", shuffled), (1, 3))
    other = stopped_stream(fresh("graph", repeated, steps_per_epoch=4), (1, 3))
    mixed = replace(
        taken, arrays={**taken.arrays, "stream/state": other.arrays["stream/state"]}
    )
    [again] = World(free(attempt=2, resume=mixed)).run(fresh("fit", shuffled))
    assert again.status is Status.COMPLETE
    assert [note for note in again.notes if "went on with a fresh pass" in note]


class Batches(keras.utils.PyDataset):
    def __init__(self, **options):
        super().__init__(**options)
        (self.x, self.y), _, _ = data()
        self.asked = []

    @property
    def num_batches(self):
        return 5

    def __getitem__(self, index):
        self.asked.append(index)
        assert 0 <= index < 5
        return self.x[index * BATCH : (index + 1) * BATCH], self.y[
            index * BATCH : (index + 1) * BATCH
        ]


class Turning(Batches):
    def on_epoch_end(self):
        self.x = np.roll(self.x, 1, axis=0)


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [("fit", {}, None), ("graph", {"workers": 2}, None), ("graph", {}, 3)],
)
def test_a_pydataset_goes_on_with_the_batch_that_comes_next(
    fresh, name, options, steps
):
    def load_data():
        _, validation, test = data()
        return Batches(**options), validation, test

    fields = {} if steps is None else {"steps_per_epoch": steps}
    with pytest.warns() if steps else nullcontext():
        place = (2, 2) if steps else (1, 3)
        alone, taken = whole_and_taken(
            name, lambda: fresh(name, load_data, **fields), place
        )
        [again] = World(free(attempt=2, resume=taken)).run(
            fresh(name, load_data, **fields)
        )
    assert_same(again, alone)
    assert len(again.notes) == len(alone.notes)


def test_a_pydataset_that_changes_between_epochs_is_said_to_be_inexact(fresh):
    def load_data():
        _, validation, test = data()
        return Turning(), validation, test

    taken = stopped_stream(fresh("graph", load_data), (1, 3))
    [again] = World(free(attempt=2, resume=taken)).run(fresh("graph", load_data))
    assert again.epochs == EPOCHS
    assert (
        "Turning has on_epoch_end of its own, so the rest of epoch 2 may have other batches"
        in again.notes
    )


# -- checkpoints of 0.1.0 --------------------------------------------------------------


def test_a_trial_goes_on_from_a_checkpoint_that_0_1_0_wrote(tmp_path, monkeypatch):
    folder = tmp_path / "v0_1_0"
    shutil.copytree(Path(__file__).parents[1] / "fixtures/v0_1_0", folder)
    monkeypatch.syspath_prepend(folder)
    url = f"sqlite:///{folder}/studies.db"
    migrate_database(url)
    ledger = open_ledger(url)
    study = ledger.study("begun")
    [trial, _] = [
        each for each in ledger.trials(study.id) if ledger.checkpoints(each.id)
    ]
    snapshot, troubles = CheckpointStore(
        folder / "checkpoints", folder_of(study)
    ).newest(ledger.checkpoints(trial.id))
    ledger.close()
    assert (snapshot.place, troubles) == ((5, 0), ())
    known = {
        "trial_id": 1,
        "label": "trial 1",
        "setting": trial.setting,
        "seed": trial.seed,
    }
    specs = (
        TrialSpec(**known, attempt=2, resume=snapshot),
        TrialSpec(**known, attempt=3),
    )
    begun = import_module("begun")
    known = {
        "build_model": begun.build_model,
        "load_data": begun.load_data,
        "direction": "minimize",
    }
    again, whole = World(*specs).run(
        create_engine("fit", open_study(replace(begun.definition, **known)))
    )
    assert (again.status, again.epochs, again.steps) == (
        Status.COMPLETE,
        6,
        whole.steps,
    )
    assert again.value == pytest.approx(whole.value, rel=1e-4)
