"""Study files in the situations that people report: each trains as plain Keras would,
or is refused before its first trial.
"""

import json
import sqlite3
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from engine_world import BATCH, TRAINING_ENGINES, World, spec
from keras import ops
from plain_keras import (
    X,
    Y,
    assert_plain,
    dense,
    inspected,
    plain_fit,
    split,
    study,
    trained,
)

from lrsearch.engine import check_same_start, create_engine, inspect_study, open_study
from lrsearch.errors import FingerprintMismatch, InvalidValue

pytestmark = pytest.mark.tensorflow
layers = keras.layers
TRIAL = spec(optimizer="sgd")  # the optimizer that is traced soonest


def but_for_fit(*engines):
    """The engines, `fit` in the long matrix alone: plain Keras, which the tests compare
    with, trains as it does.
    """
    marks = {"fit": pytest.mark.slow_matrix}
    return pytest.mark.parametrize(
        "engine", [pytest.param(each, marks=marks.get(each, ())) for each in engines]
    )


class Worst(keras.metrics.Metric):
    """The largest error, without a cast: it takes what Keras gives it."""

    def __init__(self):
        super().__init__(name="worst")
        self.seen = self.add_weight(shape=(), initializer="zeros")

    def update_state(self, y, p, sample_weight=None):
        self.seen.assign(tf.maximum(self.seen, tf.reduce_max(tf.abs(y - p))))

    def result(self):
        # the variable itself would be read after the validation, by Keras too
        return ops.copy(self.seen)


# -- data ------------------------------------------------------------------------------


ARRAYS = {
    "float64": split(X.astype("float64"), Y.astype("float64")),
    "float16, with float64 weights": split(
        X.astype("float16"), Y, np.linspace(0.5, 2.0, 40)
    ),
    "a tensor of float64": split(
        tf.constant(X, tf.float64), tf.constant(Y, tf.float64)
    ),
    "pandas": split(
        pd.DataFrame(X.astype("float64")), pd.Series(Y[:, 0].astype("float64"))
    ),
    "whole numbers": split((10 * X).astype("int64"), Y.astype("float64")),
    "booleans": split(X > 0, Y),
}


# Every way into the arrays in every run: a cast up, weights, a frame, whole numbers,
# and rows.
QUICK_ARRAYS = {"float16, with float64 weights", "pandas", "whole numbers"}


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("float64", "vectorized"),
        pytest.param("float64", "fit", marks=pytest.mark.slow_matrix),
        *(
            pytest.param(
                name,
                "graph",
                marks=() if name in QUICK_ARRAYS else pytest.mark.slow_matrix,
            )
            for name in ARRAYS
        ),
    ],
)
def test_arrays_are_what_keras_own_adapter_makes_of_them(name, engine):
    changed = study(
        build_model=dense(lambda: [Worst()]),
        load_data=ARRAYS[name],
        objective="val_worst",
        direction="minimize",
    )
    [outcome] = trained(changed, TRIAL, engine=engine)
    assert_plain(outcome, plain_fit(changed, TRIAL)[1])


class Auto(keras.Model):
    """Brings its loss itself."""

    def __init__(self):
        super().__init__()
        self.code, self.back = layers.Dense(2), layers.Dense(5)

    def call(self, x):
        out = self.back(self.code(x))
        self.add_loss(ops.mean(ops.square(x - out)))
        return out


def auto():
    model = Auto()
    model.compile("adam")
    return model


def looked_and_plain(changed):
    """The study as it is after its inspection, and what plain Keras logs: once for all engines."""
    return inspected(changed)[0], plain_fit(changed, TRIAL)[1]


@pytest.fixture(scope="module")
def without_target():
    return looked_and_plain(study(build_model=auto, load_data=split(X, None)))


@pytest.mark.parametrize("engine", TRAINING_ENGINES)
def test_a_model_that_has_no_target_trains(engine, without_target):
    loaded, history = without_target
    [outcome] = World(TRIAL).run(create_engine(engine, loaded))
    assert_plain(outcome, history)


WORDS = ["up and up", "down", "up", "down and down"]
TEXTS = np.array([WORDS[int(2 * a > 0) + 2 * int(b > 0)] for a, b in X[:, :2]], object)


def reader(shape):
    def build_model():
        read = layers.TextVectorization(
            vocabulary=["up", "down", "and"], output_sequence_length=3
        )
        model = keras.Sequential(
            [
                keras.Input(shape, dtype="string"),
                read,
                layers.Embedding(6, 4),
                layers.GlobalAveragePooling1D(),
                layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        return model

    return build_model


TEXT_ARRAYS = {
    "objects": TEXTS,
    "numpy's strings": TEXTS.astype(str),
    "bytes": TEXTS.astype("S"),
    "a tensor": tf.constant(TEXTS.tolist()),
    "a column of objects": TEXTS[:, None],
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            each,
            marks=()
            if each in {"numpy's strings", "a column of objects"}
            else pytest.mark.slow_matrix,
        )
        for each in TEXT_ARRAYS
    ],
)
def test_texts_train_in_every_form_of_array(name):
    texts = TEXT_ARRAYS[name]
    shape = (1,) if len(texts.shape) > 1 else ()
    changed = study(build_model=reader(shape), load_data=split(texts, Y))

    def as_tensor(part):
        return tf.constant(np.asarray(part[0]).astype("S")), part[1]

    [outcome] = trained(changed, TRIAL, engine="vectorized")
    assert outcome.engine == "fit"
    assert_plain(outcome, plain_fit(changed, TRIAL, adapt=as_tensor)[1])


def test_the_data_of_a_study_that_0_1_0_made_has_the_digest_that_it_stored():
    """Of "ended" in tests/fixtures/v0_1_0; arrays are digested as they are given,
    before floats become floatx.
    """
    folder = Path(__file__).parents[1] / "fixtures" / "v0_1_0"
    with sqlite3.connect(
        f"file:{folder / 'studies.db'}?mode=ro&immutable=1", uri=True
    ) as database:
        [[plan]] = database.execute(
            "select plan from lrsearch_studies where name = 'ended'"
        ).fetchall()
    stored = json.loads(plan)["facts"]["fingerprint"]
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(240, 2)).astype("float32")
    y = (
        np.sin(3 * x[:, :1]) + 0.1 * rng.normal(size=(240, 1)).astype("float32")
    ).astype("float32")
    cuts = [slice(160), slice(160, 200), slice(200, None)]
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(8, "tanh"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(1e-2), "mse")
    here = inspect_study(
        study(
            load_data=lambda: [(x[cut], y[cut]) for cut in cuts],
            build_model=lambda: keras.models.clone_model(model),
            loss="mse",
        )
    ).fingerprint
    assert {
        name: here[name]
        for name in ("data.train", "data.validation", "data.test", "model.variables")
    } == {
        name: stored[name]
        for name in ("data.train", "data.validation", "data.test", "model.variables")
    }


REFUSED_DATA = {
    "a sparse matrix": (
        scipy.sparse.csr_matrix(X),
        r"x of the train split must be a dense array; got 'a sparse matrix.*toarray",
    ),
    "a sparse tensor": (tf.sparse.from_dense(X), "to_dense"),
    "a ragged tensor": (tf.RaggedTensor.from_tensor(X), "to_tensor"),
    "objects": (np.array([{}] * 40, object), "astype"),
    "dates": (np.array(["2020-01-01"] * 40, "datetime64[D]"), "datetime64"),
}


@pytest.mark.parametrize("name", REFUSED_DATA)
def test_what_is_no_dense_array_is_refused_with_the_way_out(name):
    given, words = REFUSED_DATA[name]
    with pytest.raises(InvalidValue, match=words):
        inspect_study(study(load_data=lambda: ((given, Y), (given, Y))))


def known_mse(y, p):
    known = ops.logical_not(ops.isnan(y))
    gaps = ops.where(known, ops.square(ops.where(known, y, 0.0) - p), 0.0)
    return ops.sum(gaps) / ops.maximum(ops.sum(ops.cast(known, "float32")), 1.0)


GAPS = np.where(np.arange(40)[:, None] % 3, Y, np.nan)


@but_for_fit("fit", "vectorized")
def test_gaps_in_targets_train_where_the_loss_leaves_them_out(engine):
    changed = study(build_model=dense(loss=known_mse), load_data=split(X, GAPS))
    loaded, facts = inspected(changed)
    assert any(
        "y of the train split holds NaN or infinity in 8 rows" in note
        for note in facts.notes
    )
    [outcome] = World(TRIAL).run(create_engine(engine, loaded))
    assert_plain(outcome, plain_fit(changed, TRIAL)[1])


@pytest.mark.parametrize(
    ("x", "y", "label"),
    [(X, GAPS, "y of the train"), (np.where(X > 2, np.nan, X), Y, "x of the ")],
)
def test_gaps_that_the_loss_does_not_cope_with_are_refused(x, y, label):
    with pytest.raises(
        InvalidValue, match=label + ".*leave such entries out in the loss"
    ):
        inspect_study(study(load_data=split(x, y)))


IN_TWOS = {"build_model": dense(steps_per_execution=2)}


@pytest.fixture(scope="module")
def in_twos():
    return looked_and_plain(study(**IN_TWOS))


@pytest.mark.parametrize("engine", TRAINING_ENGINES)
def test_an_epoch_that_is_no_whole_number_of_executions_has_its_own_updates(
    engine, in_twos
):
    loaded, history = in_twos
    outcome = in_three_epochs(create_engine(engine, loaded))
    assert_plain(outcome, history)


def test_a_shuffled_epoch_that_is_no_whole_number_of_executions_has_its_own_updates():
    in_three_epochs(create_engine("fit", inspected(study(**IN_TWOS, shuffle=True))[0]))


def in_three_epochs(engine):
    world = World(TRIAL)
    [outcome] = world.run(engine)
    assert [each.step for each in world.ends] == [3, 6, 9]
    assert outcome.steps == 9
    return outcome


def test_executions_that_do_not_divide_a_given_length_are_refused():
    def streams():
        return tuple(
            tf.data.Dataset.from_tensor_slices(each).batch(BATCH).repeat()
            for each in split(X, Y)()
        )

    options = {
        "build_model": dense(steps_per_execution=2),
        "load_data": streams,
        "batch_size": None,
    }
    with pytest.raises(
        InvalidValue,
        match=r"steps_per_execution must be a divisor of steps_per_epoch; got 2\. Keras would run 4",
    ):
        inspect_study(study(**options, steps_per_epoch=3, validation_steps=2))


# -- models ----------------------------------------------------------------------------


def on_a_base(make):
    """A build_model that puts a head on one base, made once; and what brings the base back."""
    keras.utils.set_random_seed(7)
    base = make()

    def build_model():
        base.trainable = True
        model = keras.Sequential([keras.Input((5,)), base, layers.Dense(1)])
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        return model

    begun = base.get_weights()
    return build_model, lambda: base.set_weights(begun)


def normed_base():
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, "relu"), layers.BatchNormalization()]
    )


@but_for_fit(*TRAINING_ENGINES)
def test_layers_that_all_models_share_begin_every_trial_anew(engine):
    build_model, fresh = on_a_base(normed_base)
    changed = study(build_model=build_model)
    one, last = (spec(number, optimizer="sgd") for number in (1, 3))
    _, wanted = plain_fit(changed, last)
    fresh()
    loaded, facts = inspected(changed)
    outcomes = World(one, spec(2, yours=True), last).run(create_engine(engine, loaded))
    assert_plain(next(each for each in outcomes if each.trial_id == 3), wanted)
    assert any("outside build_model" in note for note in facts.notes)
    check_same_start(loaded, facts, "mine")


def test_workers_whose_shared_layers_begin_otherwise_are_refused():
    build_model, _ = on_a_base(normed_base)
    _, facts = inspected(study(build_model=build_model))
    keras.utils.set_random_seed(8)
    base = normed_base()

    def another():
        model = keras.Sequential([keras.Input((5,)), base, layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    elsewhere = open_study(study(build_model=another), facts=facts)
    with pytest.raises(FingerprintMismatch, match=r"layers outside build_model.*seed"):
        check_same_start(elsewhere, facts, "mine")


def one_model():
    model = dense()()

    def build_model():
        model.compile("adam", "mse")
        return model

    return build_model


def one_optimizer():
    optimizer = keras.optimizers.Adam(1e-3)
    return dense(optimizer=lambda: optimizer)


def one_layer_without_shape():
    base = layers.Dense(4)

    def build_model():
        model = keras.Sequential([keras.Input((5,)), base, layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    return build_model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (one_model, "the same Sequential twice"),
        (one_optimizer, "an Adam that was made outside it"),
        (one_layer_without_shape, "kept from one call to the next"),
    ],
)
def test_what_would_train_on_from_trial_to_trial_is_refused(make, words):
    with pytest.raises(InvalidValue, match=words):
        inspect_study(study(build_model=make()))


@but_for_fit("fit", "graph")
def test_a_rate_that_is_a_function_trains(engine):
    rate = keras.Variable(2e-3, trainable=False)
    changed = study(
        build_model=dense(optimizer=lambda: keras.optimizers.Adam(lambda: rate))
    )
    loaded, facts = inspected(changed)
    assert facts.yours.learning_rate == pytest.approx(2e-3)
    one = spec(1, optimizer="sgd")
    outcomes = World(one, spec(2, yours=True)).run(create_engine(engine, loaded))
    searched, yours = sorted(outcomes, key=lambda each: each.trial_id)
    assert_plain(searched, plain_fit(changed, one)[1])
    assert_plain(yours, plain_fit(changed, spec(2, yours=True))[1])


def seeding():
    keras.utils.set_random_seed(42)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(16, "relu"),
            layers.Dropout(0.5),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    return model


@pytest.fixture(scope="module")
def seeded():
    return inspected(study(build_model=seeding))


@pytest.mark.parametrize("engine", TRAINING_ENGINES)
def test_seeds_of_ours_hold_after_a_build_that_sets_its_own(engine, seeded):
    loaded, facts = seeded
    assert loaded.findings.fixed_seeds
    assert any(
        "every training begins with the same weights" in note for note in facts.notes
    )
    three = [
        spec(number, seed=seed, optimizer="sgd")
        for number, seed in ((1, 7), (2, 7), (3, 8))
    ]
    one, again, other = World(*three).run(create_engine(engine, loaded))
    assert one.value == again.value
    assert one.value != other.value, "dropout is the trial's own"


def test_a_build_without_seeds_is_left_as_it_is():
    loaded, facts = inspected(study())
    assert not loaded.findings.fixed_seeds
    assert not [note for note in facts.notes if "weights" in note or "seeds" in note]
