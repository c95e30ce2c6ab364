"""What an inspection finds of a study, and what it refuses before there is one."""

import json

import keras
import pytest
import tensorflow as tf
from engine_world import BATCH, EPOCHS, data, definition, model

from lrsearch.engine import inspect_study
from lrsearch.engine.objective_bounds import find_bounds
from lrsearch.errors import InvalidValue, StudyFileError
from lrsearch.jsonable import from_json, to_json
from lrsearch.values import Direction, StudyFacts

pytestmark = pytest.mark.tensorflow
C = keras.callbacks


def dataset(split):
    return tf.data.Dataset.from_tensor_slices(split).batch(BATCH)


def endless_test():
    train, validation, test = data()
    return train, validation, dataset(test).repeat()


class SeveralInAList(keras.Sequential):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.both = [keras.optimizers.Adam(), keras.optimizers.SGD()]


def several():
    made = SeveralInAList([keras.layers.Input((5,)), keras.layers.Dense(1)])
    made.compile("adam", "mse", metrics=["mae"])
    return made


REFUSED = {
    "sizes of datasets": (
        {"load_data": lambda: tuple(map(dataset, data())), "batch_size": [4, 8]},
        "load_data\\(batch_size\\)",
    ),
    "a test split without an end": ({"load_data": endless_test}, "the test split"),
    "more batches an update than there are": (
        {"gradient_accumulation_steps": 5 * EPOCHS + 1},
        "at most the 20 batches",
    ),
    "optimizers in a list": ({"build_model": several}, "one optimizer"),
    "callbacks that are none": (
        {"callbacks": lambda: [3]},
        "a list of Keras callbacks",
    ),
    "no list of callbacks": (
        {"callbacks": C.TerminateOnNaN},
        "a list of Keras callbacks",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_searched_is_refused(name):
    fields, words = REFUSED[name]
    with pytest.raises(InvalidValue, match=words):
        inspect_study(definition(**fields))


def test_callbacks_that_fail_are_the_studys_own_code():
    def broken():
        raise RuntimeError("no such logger")

    with pytest.raises(StudyFileError, match="no such logger"):
        inspect_study(definition(callbacks=broken))


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("one_minus_accuracy", "val_one_minus_accuracy"),
        ("balanced_loss", "val_balanced_loss"),
        ("mae", "val_loss"),
    ],
)
def test_a_direction_is_taken_from_keras_and_never_guessed_from_a_name(metric, name):
    def odd(y, p):
        return keras.ops.mean(y * p)

    odd.__name__ = metric

    def mine():
        made = model()
        made.compile("adam", "mse", metrics=["accuracy", odd])
        return made

    study = definition(build_model=mine, objective=name, direction=None)
    if name == "val_loss":
        assert inspect_study(study).direction is Direction.MINIMIZE
        return
    with pytest.raises(InvalidValue, match="direction"):
        inspect_study(study)


@pytest.mark.parametrize(
    ("objective", "loss", "bounds"),
    [
        ("val_accuracy", "mse", (0.0, 1.0)),
        ("val_mae", "mse", (0.0, None)),
        ("val_loss", "mse", (0.0, None)),
        ("val_loss", keras.losses.Huber(), (0.0, None)),
        ("val_loss", "binary_crossentropy", (0.0, None)),
        ("val_loss", "poisson", (None, None)),
        ("val_loss", lambda y, p: keras.ops.mean(p), (None, None)),
        ("val_my_accuracy", "mse", (None, None)),
    ],
)
def test_an_objective_is_bounded_where_it_is_keras_own_and_not_by_its_name(
    objective, loss, bounds
):
    class Mine(keras.metrics.BinaryAccuracy):
        def result(self):
            return 5 * super().result()

    made = model()
    made.compile("sgd", loss, metrics=["accuracy", "mae", Mine(name="my_accuracy")])
    made.train_on_batch(*(each[:4] for each in data()[0]))
    assert find_bounds(objective, made) == bounds


def test_the_first_look_finds_the_bounds_of_a_metric():
    def mine():
        made = model()
        made.compile("adam", "mse", metrics=["accuracy"])
        return made

    study = definition(build_model=mine, objective="val_accuracy")
    assert inspect_study(study).bounds == (0.0, 1.0)


def test_a_loss_with_a_negative_weight_or_more_than_keras_losses_has_no_bound():
    made = model()
    x, y = (each[:4] for each in data()[0])
    made.compile("sgd", "mse", loss_weights=[-1.0])
    made.train_on_batch(x, y)
    assert find_bounds("val_loss", made) == (None, None)
    inputs = keras.Input(made.input_shape[1:])
    regular = keras.layers.Dense(4, kernel_regularizer="l2")(inputs)
    other = keras.Model(inputs, keras.layers.Dense(made.output_shape[-1])(regular))
    other.compile("sgd", "mse")
    other.train_on_batch(x, y)
    assert find_bounds("val_loss", other) == (None, None)


def test_yours_counts_the_updates_of_its_own_compile():
    facts = inspect_study(definition(gradient_accumulation_steps=4))
    assert facts.accumulation == 4
    assert facts.total_steps(BATCH) == 5


def test_what_is_left_out_of_weight_decay_is_known():
    def mine():
        made = model()
        made.optimizer.exclude_from_weight_decay(
            var_list=[made.trainable_variables[1]], var_names=["gamma"]
        )
        return made

    assert inspect_study(definition(build_model=mine)).decay_exclusions == {
        "var_names": ["gamma"],
        "places": [1],
    }


def test_a_missing_batch_size_is_named_where_load_data_needs_one():
    def load_data(batch_size):
        return tuple(
            tf.data.Dataset.from_tensor_slices(split).batch(batch_size)
            for split in data()
        )

    with pytest.raises(StudyFileError, match="give batch_size= to StudyDefinition"):
        inspect_study(definition(load_data=load_data, batch_size=None))


SCHEDULES = keras.optimizers.schedules


@pytest.mark.parametrize(
    ("rate", "first", "last", "number"),
    [
        (0.01, 0.01, 0.01, 1),
        (lambda: 0.02, 0.02, 0.02, 1),
        (
            SCHEDULES.PolynomialDecay(0.03, 5 * EPOCHS, 0.0),
            0.03,
            0.03 / (5 * EPOCHS),
            5 * EPOCHS,
        ),
    ],
    ids=["a number", "a function", "a schedule"],
)
def test_the_rate_of_yours_over_the_run_is_seen(rate, first, last, number):
    def mine():
        made = model()
        made.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"])
        return made

    facts = inspect_study(definition(build_model=mine))
    assert len(facts.yours_rates) == number
    assert (facts.yours_rates[0], facts.yours_rates[-1]) == pytest.approx((first, last))
    assert facts.yours.learning_rate == pytest.approx(first)
    assert (
        from_json(StudyFacts, json.loads(json.dumps(to_json(facts)))).yours_rates
        == facts.yours_rates
    )
