"""Every engine tells what each row contributes to the objective, alike and at the right epoch."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from engine_world import TRAINING_ENGINES, World, spec
from row_worlds import (
    BATCH,
    MEANS,
    OTHERS,
    TESTED,
    VALIDATED,
    Kind,
    numbers,
    regression,
)

from lrsearch.engine import create_engine, open_study, row_keeping
from lrsearch.engine.compiling import fresh_model
from lrsearch.engine.data import check_split, sample_batch
from lrsearch.engine.row_scoring import RowScorer, to_row_scores
from lrsearch.engine.training import keras_data
from lrsearch.values import NO_ROW_SCORES, Status, Verdict

pytestmark = pytest.mark.tensorflow
# What one keeper of rows does for all engines: `fit`, which traces every trial, is the
# long matrix.
most_engines = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(each, marks=pytest.mark.slow_matrix if each == "fit" else ())
        for each in TRAINING_ENGINES
    ],
)
# Where rows that end at different epochs are the harder case.
rows_first = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            each, marks=() if each == "vectorized" else pytest.mark.slow_matrix
        )
        for each in TRAINING_ENGINES
    ],
)
FLOATS = {"rel": 2e-4, "abs": 1e-6}
# Those of which every engine trains one in every run; the rest is the long matrix.
QUICK = {"a loss with sample weights"}
# Each engine with one kind of average.
AVERAGED = {("fit", "adam"), ("graph", "adam"), ("vectorized", "schedule_free_adamw")}


def trained(engine, kind, *specs, world=None, **changes):
    """Outcomes of the specs, or of one search trial, by an engine of its own."""
    definition = kind.definition(**changes)
    size = None if definition.batch_size is None else BATCH
    given = specs or (spec(),)
    given = [
        replace(each, setting=replace(each.setting, batch_size=size)) for each in given
    ]
    study = open_study(definition)
    return (world or World)(*given).run(create_engine(engine, study))


def by_split(outcome):
    return {each.split: each for each in outcome.row_scores}


# -- what is measured ------------------------------------------------------------------


@pytest.mark.parametrize("name", MEANS)
def test_the_rows_mean_is_what_keras_evaluates(name):
    kind = MEANS[name]
    keras.utils.set_random_seed(1)
    definition = kind.definition()
    split = check_split("validation", kind.make(VALIDATED, 1))
    model = fresh_model(definition, {})
    scorer = RowScorer(model, sample_batch(split, BATCH), kind.objective)
    steps = definition.validation_steps
    found, digest = scorer.measure(
        [each.numpy() for each in model.variables], split, BATCH, steps=steps
    )
    inputs, size = keras_data(split, BATCH)
    x, y, weight = keras.utils.unpack_x_y_sample_weight(inputs)
    logs = model.evaluate(
        x,
        y,
        sample_weight=weight,
        batch_size=size,
        steps=steps,
        verbose=0,
        return_dict=True,
    )
    logged = {f"val_{each}": value for each, value in logs.items()}
    assert found.mean() == pytest.approx(logged[kind.objective], rel=1e-5)
    assert len(found) == (VALIDATED if steps is None else steps * BATCH)
    assert len(digest) == 16
    assert np.ptp(found) > 0, "rows differ"


def test_a_row_contributes_by_its_weight_and_its_own_error():
    kind = MEANS["a weighted metric"]
    x, y, weight = kind.make(VALIDATED, 1)
    split = check_split("validation", (x, y, weight))
    model = fresh_model(kind.definition(), {})
    scorer = RowScorer(model, sample_batch(split, BATCH), kind.objective)
    found, _ = scorer.measure([each.numpy() for each in model.variables], split, BATCH)
    errors = np.abs(model.predict(x, verbose=0) - y)[:, 0]
    assert found == pytest.approx(VALIDATED * weight * errors / weight.sum(), **FLOATS)


def test_targets_have_one_digest_in_arrays_and_in_batches_of_any_size():
    x, y = numbers(VALIDATED, 1)
    whole = tf.data.Dataset.from_tensor_slices((x, y))
    order = np.arange(VALIDATED)[::-1]
    splits = [(x, y), whole.batch(4), whole.batch(9), (x, y + 1), (x[order], y[order])]
    model = fresh_model(MEANS["squared errors"].definition(), {})
    scorer = RowScorer(model, (x, y), "val_loss")
    weights = [each.numpy() for each in model.variables]
    same, *others, changed, reordered = (
        scorer.measure(weights, check_split("validation", each), BATCH)[1]
        for each in splits
    )
    assert others == [same, same]
    assert len({same, changed, reordered}) == 3


def test_of_a_long_split_one_sample_is_kept_in_order():
    values = np.arange(10_000, dtype=float)
    scores, again = (to_row_scores("validation", values, "d") for _ in range(2))
    assert (len(scores.values), scores.rows) == (4096, 10_000)
    assert np.array_equal(scores.values, again.values)
    assert np.all(np.diff(scores.values) > 0)
    assert scores.values.mean() == pytest.approx(values.mean(), rel=0.03)


# -- by every engine -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        each if each in QUICK else pytest.param(each, marks=pytest.mark.slow_matrix)
        for each in MEANS
    ],
)
def test_engines_tell_the_same_rows_whose_mean_is_the_value(name):
    kind = MEANS[name]
    told = []
    for engine in TRAINING_ENGINES:
        (outcome,) = trained(engine, kind, spec(test_split=True))
        rows = by_split(outcome)
        assert outcome.notes == () or all(
            NO_ROW_SCORES not in each for each in outcome.notes
        )
        assert list(rows) == ["validation", "test"]
        assert rows["validation"].values.mean() == pytest.approx(
            outcome.value, **FLOATS
        )
        logged = outcome.logs[kind.objective.replace("val_", "test_")]
        assert rows["test"].values.mean() == pytest.approx(logged, **FLOATS)
        assert rows["test"].rows == TESTED
        told.append(rows)
    first, *others = told
    for other in others:
        for split, rows in first.items():
            assert other[split].values == pytest.approx(rows.values, rel=1e-3, abs=1e-5)
            assert (other[split].digest, other[split].rows) == (rows.digest, rows.rows)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_mean_over_rows_has_none_and_says_why(name):
    kind, reason = OTHERS[name]
    (outcome,) = trained("graph", kind, spec(optimizer="sgd"))
    assert outcome.status is Status.COMPLETE
    assert outcome.row_scores == ()
    assert [each for each in outcome.notes if each.startswith(NO_ROW_SCORES)] == [
        f"{NO_ROW_SCORES}{reason}"
    ]


REGRESSION = Kind(regression(metrics=["mae"]), objective="val_mae")
# The first epoch has the largest error, and is the best of this study.
FIRST_IS_BEST = replace(REGRESSION, direction="maximize")


@rows_first
def test_the_best_epochs_rows_are_told_where_the_best_epoch_counts(engine):
    asked = {"objective_epoch": "best", "epochs": 4}
    (outcome,) = trained(
        engine, FIRST_IS_BEST, spec(schedule="constant", test_split=True), **asked
    )
    assert outcome.best_epoch == 1, "else the last epoch's would do"
    rows = by_split(outcome)
    assert rows["validation"].values.mean() == pytest.approx(outcome.value, **FLOATS)
    (best,) = trained(
        engine,
        FIRST_IS_BEST,
        spec(schedule="constant", test_split=True),
        epochs=outcome.best_epoch,
    )
    for split, scores in by_split(best).items():
        assert rows[split].values == pytest.approx(scores.values, **FLOATS)


@rows_first
def test_the_best_epochs_rows_travel_in_a_checkpoint(engine):
    asked = {"objective_epoch": "best", "epochs": 4}
    made = create_engine(engine, open_study(FIRST_IS_BEST.definition(**asked)))
    whole = World(spec(test_split=True), keep=True)
    (expected,) = whole.run(made)
    late = [each for each in whole.snapshots if each.epoch > expected.best_epoch]
    assert late, "a checkpoint after the best epoch"
    (outcome,) = World(spec(test_split=True, resume=late[-1])).run(made)
    assert outcome.best_epoch == expected.best_epoch
    for one, other in zip(outcome.row_scores, expected.row_scores, strict=True):
        assert (one.split, one.digest, one.rows) == (
            other.split,
            other.digest,
            other.rows,
        )
        assert np.array_equal(one.values, other.values)


def test_a_checkpoint_of_an_earlier_version_leaves_a_note():
    asked = {"objective_epoch": "best", "epochs": 4}
    whole = World(spec(), keep=True)
    made = create_engine("graph", open_study(FIRST_IS_BEST.definition(**asked)))
    (expected,) = whole.run(made)
    old = next(each for each in whole.snapshots if each.epoch > expected.best_epoch)
    meta = {name: value for name, value in old.meta.items() if name != "rows"}
    (outcome,) = World(spec(resume=replace(old, meta=meta))).run(made)
    assert outcome.row_scores == ()
    assert any(each.startswith(NO_ROW_SCORES) for each in outcome.notes)


class PutsBack(keras.callbacks.Callback):
    """Ends the training with the weights of its first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.kept = self.model.get_weights()

    def on_train_end(self, logs=None):
        self.model.set_weights(self.kept)


@pytest.mark.parametrize("engine", ["fit", "graph"])
def test_weights_that_a_callback_puts_back_are_those_that_are_measured(engine):
    asked = {"callbacks": lambda: [PutsBack()], "epochs": 3}
    (outcome,) = trained(engine, REGRESSION, spec(), **asked)
    assert "judged at epoch 1" in outcome.reason
    rows = by_split(outcome)["validation"]
    assert rows.values.mean() == pytest.approx(outcome.value, **FLOATS)


@pytest.mark.parametrize(
    ("engine", "optimizer"),
    [
        pytest.param(
            engine,
            optimizer,
            marks=() if (engine, optimizer) in AVERAGED else pytest.mark.slow_matrix,
        )
        for engine in TRAINING_ENGINES
        for optimizer in ("schedule_free_adamw", "adam")
    ],
)
def test_averaged_weights_are_measured_where_they_are_validated(engine, optimizer):
    """Keras' moving average replaces the weights after the last validation, before the test."""
    build = ema_model if optimizer == "adam" else REGRESSION.build
    kind = replace(REGRESSION, build=build)
    (outcome,) = trained(engine, kind, spec(optimizer=optimizer, test_split=True))
    rows = by_split(outcome)
    assert rows["validation"].values.mean() == pytest.approx(outcome.value, **FLOATS)
    assert rows["test"].values.mean() == pytest.approx(
        outcome.logs["test_mae"], **FLOATS
    )


def ema_model():
    model = regression(metrics=["mae"])()
    model.compile(keras.optimizers.Adam(1e-2, use_ema=True), "mse", metrics=["mae"])
    return model


# -- what must not suffer --------------------------------------------------------------


@most_engines
def test_a_failure_to_measure_fails_no_trial(engine, monkeypatch):
    def fail(*_arguments, **_options):
        raise ValueError("no such kernel")

    monkeypatch.setattr(RowScorer, "measure", fail)
    first, second = trained(engine, REGRESSION, spec(1), spec(2))
    for outcome in (first, second):
        assert (outcome.status, outcome.row_scores) == (Status.COMPLETE, ())
        assert outcome.notes == (
            f"{NO_ROW_SCORES}the rows cannot be measured one by one: ValueError: no such kernel",
        )


def test_an_objective_that_does_not_fit_is_measured_three_times_at_most(monkeypatch):
    kind, _ = OTHERS["a loss that is summed"]
    measured = []
    own = RowScorer.measure

    def measure(scorer, *arguments, **options):
        measured.append(scorer)
        return own(scorer, *arguments, **options)

    monkeypatch.setattr(RowScorer, "measure", measure)
    outcomes = trained("graph", kind, *(spec(number) for number in range(1, 6)))
    assert len({each.notes for each in outcomes}) == 1
    assert len(measured) == row_keeping.MOST_MISSES


@most_engines
def test_only_complete_trials_are_measured(engine, monkeypatch):
    measured = []
    monkeypatch.setattr(RowScorer, "measure", lambda *_a, **_o: measured.append(1))

    def world(*specs):
        return World(*specs, verdicts={1: Verdict.PRUNE})

    (outcome,) = trained(engine, REGRESSION, world=world)
    assert (outcome.status, outcome.row_scores, outcome.notes) == (
        Status.PRUNED,
        (),
        (),
    )
    assert measured == []


@most_engines
def test_values_are_the_same_to_the_bit_without_row_scores(engine, monkeypatch):
    kind = Kind(
        regression(lambda: keras.layers.Dropout(0.3), metrics=["mae"]),
        objective="val_mae",
    )
    specs = [spec(number, seed=number) for number in (1, 2)]
    with_rows = trained(engine, kind, *specs)
    monkeypatch.setattr(row_keeping, "_find_scorer", _none)
    without = trained(engine, kind, *specs)
    assert [each.logs for each in with_rows] == [each.logs for each in without]
    assert all(each.row_scores for each in with_rows)
    assert not any(each.row_scores for each in without)


def _none(*_arguments):
    raise row_keeping.NoRowScores("switched off")
