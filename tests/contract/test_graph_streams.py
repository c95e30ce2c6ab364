"""The graph engine reads datasets, PyDatasets and large arrays as fit does: the same
batches in the same order.
"""

import math
from collections import OrderedDict

import keras
import numpy as np
import pytest
import tensorflow as tf
from engine_world import (
    BATCH,
    EPOCHS,
    World,
    assert_equal,
    both,
    data,
    definition,
    model,
    spec,
)

from lrsearch.engine import create_engine, limits, open_study
from lrsearch.values import Status

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]


def dataset(split, *, shuffled=False, unknown=False):
    found = tf.data.Dataset.from_tensor_slices(split)
    if shuffled:
        found = found.shuffle(100, seed=3)
    found = found.batch(BATCH)
    return found.filter(lambda *_: True) if unknown else found


class Rows(keras.utils.PyDataset):
    """Batches of rows, in an order that may change at every epoch's end; `epochs`
    counts their beginnings and ends.
    """

    def __init__(self, split, *, changing=True, **options):
        super().__init__(**options)
        self.changing = changing
        self.x, self.y = split
        self.order, self.random = np.arange(len(self.x)), np.random.default_rng(1)
        self.epochs = [0, 0]

    def __len__(self):
        return math.ceil(len(self.x) / BATCH)

    def __getitem__(self, place):
        rows = self.order[place * BATCH : (place + 1) * BATCH]
        return self.x[rows], self.y[rows]

    def on_epoch_begin(self):
        self.epochs[0] += 1

    def on_epoch_end(self):
        self.epochs[1] += 1
        if self.changing:
            self.order = self.random.permutation(len(self.x))


def of(make, **options):
    """A `load_data` whose splits are made by `make`."""
    train, validation, _ = data()
    return lambda: (make(train, **options), make(validation))


def classes(split):
    """A dataset of two classes."""
    x, y = split
    return dataset((x, (y > 0).astype("int32")))


INPUTS = {
    "a dataset": ({"load_data": of(dataset, shuffled=True)}, 20),
    "a dataset that is longer than an epoch": (
        {"load_data": of(dataset, shuffled=True), "steps_per_epoch": 3},
        12,
    ),
    "a dataset without an end": (
        {
            "load_data": of(lambda split: dataset(split).repeat()),
            "steps_per_epoch": 7,
            "validation_steps": 3,
        },
        28,
    ),
    "a PyDataset": ({"load_data": of(Rows)}, 20),
    # Read ahead over an epoch's end, a changing order would be a race in `fit` too.
    "a PyDataset that is longer than an epoch": (
        {"load_data": of(Rows, changing=False), "steps_per_epoch": 3},
        10,
    ),
    "a PyDataset with threads": (
        {"load_data": of(Rows, workers=2, max_queue_size=3)},
        20,
    ),
    "a class-weighted dataset": (
        {"load_data": of(classes), "class_weight": {0: 1.0, 1: 3.0}},
        20,
    ),
    "arrays, few steps": (
        {"batch_size": BATCH, "steps_per_epoch": 3, "validation_steps": 1},
        12,
    ),
}


# What one trial leaves to the next: an order, threads. Of the others one trial says it
# all; and of a shuffled dataset that is longer than an epoch no more can be said: how
# often it was shuffled ahead when its trial ends is a race.
GO_ON = {
    "a dataset",
    "a PyDataset that is longer than an epoch",
    "a PyDataset with threads",
}


@pytest.fixture(scope="module")
def programs():
    """Graphs that the studies of one model share: a graph holds nothing of the stream
    that it reads.
    """
    return OrderedDict()


# Those that hold what the others do, in every run: a shuffle, an epoch that ends within
# a pass, threads, weights of classes. The rest is the long matrix.
QUICK = {
    "a dataset",
    "a PyDataset that is longer than an epoch",
    "a PyDataset with threads",
    "a class-weighted dataset",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each, marks=() if each in QUICK else pytest.mark.slow_matrix)
        for each in INPUTS
    ],
)
def test_graph_trains_on_the_batches_that_fit_trains_on(name, programs):
    fields, updates = INPUTS[name]
    specs = [spec(1, optimizer="sgd"), spec(2, optimizer="sgd", rate=3e-3)]
    # the weights are in the graph
    shared = None if "class_weight" in fields else programs
    known = {"batch_size": None, "programs": shared} | fields
    ours, theirs = both(*specs[: 2 if name in GO_ON else 1], **known)
    assert_equal(ours, theirs)
    assert ours[0].steps == updates


def test_an_epoch_ends_where_the_dataset_runs_out_as_in_fit():
    def plain():
        made = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(1)])
        made.compile("adam", "mse", metrics=["mae"])
        return made

    # A count or a seed would tell them apart: Keras' step for the batch that is not
    # there moves on what needs no batch.
    trial = spec(optimizer="sgd", schedule="constant", rate=0.1)
    fields = {
        "load_data": of(dataset, unknown=True),
        "steps_per_epoch": 4,
        "validation_steps": 2,
        "batch_size": None,
    }
    ours, theirs = both(trial, build_model=plain, **fields)
    assert_equal(ours, theirs)
    assert ours[0].steps == 4 + 1 + 4 + 1


def test_graph_tells_a_pydataset_of_its_epochs_as_often_as_fit_does():
    told = {}
    for name in ("graph", "fit"):
        loaded = open_study(definition(load_data=of(Rows), batch_size=None))
        World(spec(optimizer="sgd")).run(create_engine(name, loaded))
        splits = loaded.data(None)
        told[name] = [splits.train.source.epochs, splits.validation.source.epochs]
    assert told["graph"] == told["fit"]
    assert told["graph"][0][0] == EPOCHS


@pytest.fixture
def _small_device(monkeypatch):
    monkeypatch.setattr(limits, "MOST_BYTES", 0)


@pytest.mark.usefixtures("_small_device")
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"steps_per_epoch": 3, "validation_steps": 1, "shuffle": False},
        pytest.param(
            {"steps_per_epoch": 3, "validation_steps": 1}, marks=pytest.mark.slow_matrix
        ),  # the last cell's two halves
        pytest.param({"shuffle": False}, marks=pytest.mark.slow_matrix),
    ],
)
def test_arrays_larger_than_the_device_stream_in_our_order(fields):
    one, other = spec(1, optimizer="sgd"), spec(2, seed=3, optimizer="sgd")
    # another seed is another order
    assert_equal(*(both(one, **fields) if fields else both(other, before=[one])))


@pytest.mark.usefixtures("_small_device")
def test_streamed_arrays_resume_exactly():
    engine = create_engine("graph", open_study(definition()))
    whole = World(spec(), keep=True)
    [alone] = whole.run(engine)
    [again] = World(spec(attempt=2, resume=whole.snapshots[1])).run(engine)
    assert again.value == alone.value, "bitwise"


def test_a_stream_is_traced_once_for_all_trials():
    engine = create_engine(
        "graph", open_study(definition(load_data=of(dataset), batch_size=None))
    )
    World(*(spec(number, rate=rate) for number, rate in enumerate((1e-3, 1e-2)))).run(
        engine
    )
    [program] = engine._programs.values()
    assert program.traced == 2, "the training and the validation, once each"


def test_a_pydataset_that_is_left_early_ends_its_threads():
    engine = create_engine(
        "graph", open_study(definition(load_data=of(Rows, workers=2), batch_size=None))
    )
    [outcome] = World(spec(rate=1e25, optimizer="sgd", schedule="constant")).run(engine)
    assert (outcome.engine, outcome.status) == ("graph", Status.DIVERGED)
    import threading

    assert not [each for each in threading.enumerate() if "_run" in each.name]


def test_strings_go_to_fit():
    def words():
        (x, y), _, _ = data()
        split = (np.array(["up", "down"])[(x[:, 0] > 0).astype(int)], y)
        return split, split

    def mine():
        lookup = keras.layers.StringLookup(
            vocabulary=["up", "down"], output_mode="one_hot"
        )
        made = keras.Sequential(
            [keras.layers.Input((), dtype="string"), lookup, keras.layers.Dense(1)]
        )
        made.compile("sgd", "mse", metrics=["mae"], jit_compile=False)
        return made

    def streamed():
        return tuple(dataset(each) for each in words())

    engines = [
        create_engine("graph", open_study(definition(load_data=each, build_model=mine)))
        for each in (words, streamed)
    ]
    arrays, stream = [World(spec(optimizer="sgd")).run(each)[0] for each in engines]
    assert (stream.engine, stream.status) == ("fit", Status.COMPLETE), stream.reason
    assert arrays.notes == stream.notes == ("trained by fit: the data is not numbers",)


def test_a_subclassed_model_without_a_shape_is_built_from_a_dataset():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Dense(4, "tanh")
            self.drop = keras.layers.Dropout(0.5)
            self.last = keras.layers.Dense(1)

        def call(self, x, training=False):
            return self.last(self.drop(self.first(x), training=training))

    def mine():
        made = Mine()
        made.compile("adam", "mse", metrics=["mae"])
        return made

    fields = {"build_model": mine, "load_data": of(dataset), "batch_size": None}
    assert_equal(
        *both(
            spec(2, seed=3, optimizer="sgd"), before=[spec(optimizer="sgd")], **fields
        )
    )
    assert model().built
