"""The table of what each engine can carry: every row is reached, read and asked."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import tensorflow as tf

from lrsearch.engine import limits
from lrsearch.engine.data import Data, check_split
from lrsearch.engine.limits import LIMITS, AttemptFacts, ModelFacts
from lrsearch.values import Setting, Snapshot, TrialSpec

ROOT = Path(__file__).parents[3]
ENGINE = ROOT / "lrsearch" / "engine"
HANDING_ON = ("vectorized", "graph")  # the engines that carry less than all


def model(kind=keras.Sequential, optimizer="adam", **compiled):
    made = kind([keras.layers.Input((2,)), keras.layers.Dense(1)])
    made.compile(optimizer, "mse", **compiled)
    return made


def own(**methods):
    return type("Own", (keras.Sequential,), {name: lambda *_: {} for name in methods})


def under_strategy():
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        return model()


def with_own_step():
    made = model()
    made.train_step = lambda _: {}
    return made


def of_model(made, *, yours=False, callbacks=(), **definition):
    definition = {"steps_per_epoch": None, "validation_steps": None} | definition
    return ModelFacts(
        definition=SimpleNamespace(**definition),
        model=made,
        yours=yours,
        callbacks=callbacks,
    )


def spec(optimizer="sgd", *, extra=None, batch=None, **given):
    setting = Setting(
        optimizer=optimizer,
        learning_rate=0.1,
        schedule="constant",
        batch_size=4,
        extra=extra or {},
    )
    resume = None
    if batch is not None:
        resume = Snapshot(epoch=1, step=9, arrays={}, meta={}, batch=batch)
    return TrialSpec(
        trial_id=1,
        attempt=1,
        label="trial 1",
        setting=setting,
        seed=7,
        resume=resume,
        **given,
    )


X = np.zeros((8, 2), "float32")
NUMBERS = check_split("train", (X, X))
WEIGHTED = check_split("train", (X, X, np.ones(8, "float32")))
TEXTS = check_split("train", (X, np.array(["a"] * 8)))
STREAM = check_split("train", tf.data.Dataset.from_tensor_slices((X, X)).batch(4))


def of_attempt(train=NUMBERS, test=None, *, callbacks=(), class_weight=None, **given):
    return AttemptFacts(
        definition=SimpleNamespace(class_weight=class_weight), spec=spec(**given),
        data=Data(train=train, validation=NUMBERS, test=test), callbacks=callbacks,
    )  # fmt: skip


class Batches(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


MET = {
    ("vectorized", "its worker was lost before"): lambda: spec(alone=True),
    ("vectorized", "yours is trained as it is"): lambda: spec(yours=True),
    ("vectorized", "lamb looks at whole matrices"): lambda: spec("lamb"),
    ("vectorized", "build_model takes searched arguments"): lambda: spec(extra={"units": 3}),
    ("vectorized", "its fold is not the search's"): lambda: spec(fold=2),
    ("vectorized", "its checkpoint stands within an epoch"): lambda: spec(batch=3),
    ("vectorized", "the study has callbacks"): lambda: of_model(model(), callbacks=["Batches"]),
    ("vectorized", "the model is built under a strategy"): lambda: of_model(under_strategy()),
    ("vectorized", "steps_per_epoch or validation_steps is set"): lambda: of_model(
        model(), validation_steps=2
    ),
    ("vectorized", "the model has a train_step of its own"): lambda: of_model(
        model(own(train_step=1))
    ),
    ("vectorized", "the model has a test_step of its own"): lambda: of_model(
        model(own(test_step=1))
    ),
    ("vectorized", "the loss is scaled"): lambda: of_model(
        model(optimizer=keras.optimizers.SGD(loss_scale_factor=2.0))
    ),
    ("vectorized", "compile asks for jit_compile"): lambda: of_model(model(jit_compile=True)),
    ("vectorized", "the model has compute_metrics of its own"): lambda: of_model(
        model(own(compute_metrics=1))
    ),
    ("vectorized", "the model has a step of its own"): lambda: of_model(with_own_step()),
    ("vectorized", "the model has a training loop of its own"): lambda: of_model(
        model(own(evaluate=1))
    ),
    ("vectorized", "compile asks to run eagerly"): lambda: of_model(model(run_eagerly=True)),
    ("graph", "compile asks to run eagerly"): lambda: of_model(model(run_eagerly=True)),
    ("graph", "the model is built under OneDeviceStrategy"): lambda: of_model(under_strategy()),
    ("graph", "the learning rate is a function"): lambda: of_model(
        model(optimizer=keras.optimizers.SGD(lambda: 0.1)), yours=True
    ),
    ("graph", "the model has a evaluate() of its own"): lambda: of_model(model(own(evaluate=1))),
    ("vectorized", "the test split is a dataset"): lambda: of_attempt(test=STREAM, test_split=True),
    ("vectorized", "the study has callbacks", AttemptFacts): lambda: of_attempt(
        callbacks=[Batches()]
    ),
    ("graph", "Batches must be called at every batch"): lambda: of_attempt(callbacks=[Batches()]),
    ("vectorized", "the data is not numbers"): lambda: of_attempt(TEXTS),
    ("graph", "the data is not numbers"): lambda: of_attempt(TEXTS),
    ("vectorized", "class_weight and sample weights are both given"): lambda: of_attempt(
        WEIGHTED, class_weight={0: 2.0}
    ),
    ("graph", "class_weight and sample weights are both given"): lambda: of_attempt(
        WEIGHTED, class_weight={0: 2.0}
    ),
    ("vectorized", "the data does not fit on the device, or is a dataset"): lambda: of_attempt(
        STREAM
    ),
}  # fmt: skip
"""Facts that meet each row that has a test, and none before it."""


@pytest.mark.parametrize("row", MET, ids=lambda row: f"{row[0]}: {row[1]}")
def test_each_row_is_the_reason_given_for_facts_that_meet_it(row):
    assert limits.reason_against(row[0], MET[row]()) == row[1]


def test_every_row_with_a_test_is_met_above():
    rows = {
        (engine, limit) for limit in LIMITS if limit.facts for engine in limit.engines
    }
    met = {(row[0], limit_met(row[0], facts())) for row, facts in MET.items()}
    assert rows == met


def limit_met(engine, facts):
    with pytest.raises(limits.CannotCarry) as caught:
        limits.check(engine, facts)
    return caught.value.limit


@pytest.mark.parametrize("engine", HANDING_ON)
@pytest.mark.parametrize("facts", [spec, lambda: of_model(model()), of_attempt])
def test_a_plain_trial_of_a_plain_study_meets_no_row(engine, facts):
    assert limits.reason_against(engine, facts()) == ""
    limits.check(engine, facts())


def test_a_model_whose_searched_trials_alone_are_asked_may_have_a_function_as_its_rate():
    made = model(optimizer=keras.optimizers.SGD(lambda: 0.1))
    assert limits.reason_against("graph", of_model(made)) == ""


def test_every_row_without_a_test_is_named_by_an_engine_or_met_in_a_traced_graph():
    named = {
        name: limit
        for name, limit in vars(limits).items()
        if isinstance(limit, limits.Limit)
    }
    assert {limit for limit in LIMITS if limit.facts is None} <= set(named.values())
    others = "".join(
        path.read_text(encoding="utf-8")
        for path in ENGINE.glob("*.py")
        if path.stem != "limits"
    )
    here = (ENGINE / "limits.py").read_text(encoding="utf-8")
    for name in named:
        assert re.search(rf"\b{name}\b", others) or f"CannotCarry({name}" in here, name


def test_arrays_beyond_the_limit_do_not_fit_on_the_device(monkeypatch):
    data = of_attempt().data
    assert limits.fits_device(data)
    monkeypatch.setattr(limits, "MOST_BYTES", 4 * X.nbytes - 1)
    assert not limits.fits_device(data)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.reason)
def test_a_reason_is_a_short_clause_that_goes_on_after_a_colon(limit):
    assert limit.reason[0].islower() or limit.reason[0] == "{"
    assert limit.reason[-1] not in ".;:"
    assert len(limit.reason) <= 100
    assert set(limit.engines) <= set(HANDING_ON)


def test_an_exception_names_its_row_and_says_what_was_found():
    error = limits.CannotCarry(limits.MIXED_TYPES, "float16, float32")
    assert error.limit is limits.MIXED_TYPES
    assert str(error) == "the trained weights are of several types (float16, float32)"


def test_the_guide_has_the_table_of_today():
    path = ROOT / "docs" / "make_engines.py"
    loaded = importlib.util.spec_from_file_location("make_engines", path)
    writer = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(writer)
    text = writer.GUIDE.read_text(encoding="utf-8")
    assert writer.guide(text) == text, "run docs/make_engines.py"
