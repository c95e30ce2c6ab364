"""The graph engine trains as fit does, many batches a call, and hands over what it cannot carry."""

from collections import OrderedDict

import keras
import numpy as np
import pytest
import tensorflow as tf
from engine_world import (
    BATCH,
    World,
    all_at_once,
    assert_equal,
    both,
    definition,
    model,
    normed,
    spec,
)

from lrsearch.engine import create_engine, limits, open_study
from lrsearch.engine.program import Pace
from lrsearch.values import Status, Verdict

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def fit():
    return create_engine("fit", open_study(definition(build_model=normed)))


@pytest.fixture(scope="module")
def graph():
    return create_engine("graph", open_study(definition(build_model=normed)))


def test_graph_trains_as_fit_does_whatever_it_trained_before(graph, fit):
    """By nadam, whose state is no slot alone; test_equality.py has every optimizer."""
    one, two = [
        spec(number, optimizer="nadam", seed=number, rate=3e-3) for number in (1, 2)
    ]
    assert_equal(World(one, two).run(graph)[1:], World(two).run(fit))


def test_graph_keeps_one_program_for_all_rates_and_schedules(graph):
    before = len(graph._programs)
    World(
        *(
            spec(number, optimizer="adamax", rate=rate)
            for number, rate in enumerate((1e-3, 1e-2, 3e-2))
        )
    ).run(graph)
    World(spec(9, optimizer="adamax", schedule="constant")).run(graph)
    assert len(graph._programs) == before + 1
    [program] = [each for key, each in graph._programs.items() if "adamax" in key]
    assert program.traced == 2, "the training and the validation, once each"


def test_graph_trains_yours_under_its_own_schedule():
    def mine():
        made = model()
        made.compile(
            keras.optimizers.SGD(
                keras.optimizers.schedules.CosineDecay(0.05, 20), momentum=0.9
            ),
            "mse",
            metrics=["mae"],
        )
        return made

    assert_equal(*both(spec(yours=True), build_model=mine))


def test_graph_accumulates_clips_averages_and_weighs_classes_as_fit_does():
    assert_equal(
        *both(spec(1, optimizer="momentum", test_split=True), **all_at_once("mae"))
    )


class Rates(keras.Sequential):
    """Logs what it makes of its metrics."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        found = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**found, "twice": 2 * found["mae"]}


class Loop(keras.Sequential):
    def make_train_function(self, force=False):
        return super().make_train_function(force)


def small(kind, **options):
    made = kind(
        [keras.layers.Input((5,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)]
    )
    made.compile("adam", "mse", metrics=["mae"], **options)
    return made


def test_what_a_model_makes_of_its_metrics_is_logged():
    fields = {"build_model": lambda: small(Rates), "objective": "val_twice"}
    one, two = spec(1, optimizer="sgd"), spec(2, seed=3, optimizer="sgd")
    ours, theirs = both(two, before=[one], **fields)
    assert_equal(ours, theirs)
    assert ours[0].logs["val_twice"] == pytest.approx(2 * ours[0].logs["val_mae"])


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: small(keras.Sequential, run_eagerly=True), "eagerly"),
        (lambda: small(Loop), "make_train_function"),
    ],
    ids=["eager", "a loop of its own"],
)
def test_steps_and_loops_that_a_graph_would_not_call_are_left_to_fit(build, reason):
    [outcome] = World(spec()).run(
        create_engine("graph", open_study(definition(build_model=build)))
    )
    assert (outcome.engine, outcome.status) == ("fit", Status.COMPLETE)
    assert reason in outcome.notes[0]


def test_loss_scaling_keeps_the_users_options():
    def mine():
        made = small(keras.Sequential)
        scaled = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(1e-2), initial_scale=8.0, dynamic_growth_steps=7
        )
        made.compile(scaled, "mse", metrics=["mae"])
        return made

    engine = create_engine("graph", open_study(definition(build_model=mine)))
    World(spec()).run(engine)
    [program] = engine._programs.values()
    kept = program.model.optimizer
    assert (kept.initial_scale, kept.dynamic_growth_steps) == (8.0, 7)


def test_a_custom_train_step_is_traced_with_what_it_logs_itself():
    class Custom(keras.Sequential):
        def train_step(self, batch):
            logs = super().train_step(batch)
            return {"loss": logs["loss"], "twice": 2 * logs["loss"]}

    def mine():
        made = Custom([keras.layers.Input((5,)), keras.layers.Dense(1)])
        made.compile("sgd", "mse", metrics=["mae"])
        return made

    assert_equal(*both(spec(optimizer="sgd"), build_model=mine))


def test_an_explicit_jit_compile_is_kept():
    def mine():
        made = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(1)])
        made.compile("sgd", "mse", metrics=["mae"], jit_compile=True)
        return made

    assert_equal(*both(spec(optimizer="sgd"), build_model=mine))


def test_a_checkpoint_of_one_engine_is_resumed_by_the_other(graph, fit):
    for first, second in ((graph, fit), (fit, graph)):
        whole = World(spec(), keep=True)
        [alone] = whole.run(first)
        [again] = World(spec(attempt=2, resume=whole.snapshots[1])).run(second)
        assert again.engine == second.name
        assert again.value == pytest.approx(alone.value, rel=2e-4)


def test_divergence_in_a_graph_is_noticed_within_a_call(graph):
    [outcome] = World(spec(rate=1e25, optimizer="sgd", schedule="constant")).run(graph)
    assert (outcome.engine, outcome.status, outcome.value) == (
        "graph",
        Status.DIVERGED,
        None,
    )
    assert outcome.steps <= 10


# -- callbacks -------------------------------------------------------------------------


class Notes(keras.callbacks.Callback):
    """Notes the hooks of epochs, tests and training, with what they are told."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def _note(self, hook, logs=None):
        rate = self.model.optimizer.learning_rate
        self.seen.append((hook, dict(logs or {}), float(rate), dict(self.params)))

    def on_train_begin(self, logs=None):
        self._note("train begins", logs)

    def on_train_end(self, logs=None):
        self._note("train ends", logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._note(f"epoch {epoch} begins", logs)

    def on_epoch_end(self, epoch, logs=None):
        self._note(f"epoch {epoch} ends", logs)

    def on_test_begin(self, logs=None):
        self._note("test begins", logs)

    def on_test_end(self, logs=None):
        self._note("test ends", logs)


def test_callbacks_of_epochs_are_called_in_the_graph_as_fit_calls_them():
    seen = []
    assert_equal(*both(spec(optimizer="sgd"), callbacks=lambda: [Notes(seen)]))
    ours, theirs = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert [each[0] for each in ours] == [each[0] for each in theirs]
    assert ours[-1][0] == "train ends"
    for (_, logs, rate, params), (_, other_logs, other_rate, other_params) in zip(
        ours, theirs, strict=True
    ):
        assert list(logs) == list(other_logs)
        assert logs == pytest.approx(other_logs, rel=2e-4)
        assert rate == pytest.approx(other_rate, rel=1e-5), "the next update's"
        assert params == other_params


C = keras.callbacks
KEPT_FOR_YOURS = {
    "stops early and restores its best": lambda: [
        C.EarlyStopping("val_mae", patience=0, min_delta=0.3, restore_best_weights=True)
    ],
    "lowers its rate on a plateau": lambda: [
        C.ReduceLROnPlateau("val_mae", factor=0.1, patience=0, min_delta=9.0)
    ],
    "sets its rate by epoch": lambda: [
        C.LearningRateScheduler(lambda epoch, rate: rate * 0.5**epoch)
    ],
}


@pytest.fixture(scope="module")
def programs():
    """Graphs of one model, whose callbacks are called between them."""
    return OrderedDict()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            each,
            marks=pytest.mark.slow_matrix if each == "sets its rate by epoch" else (),
        )
        for each in KEPT_FOR_YOURS
    ],
)
def test_yours_keeps_its_own_callbacks_in_the_graph_and(name, programs):
    trial = spec(1, yours=True, test_split=True)
    ours, theirs = both(trial, programs=programs, callbacks=KEPT_FOR_YOURS[name])
    assert_equal(ours, theirs)
    assert [each.reason for each in ours] == [each.reason for each in theirs]
    assert list(ours[0].logs) == list(theirs[0].logs)


def test_callbacks_that_write_files_write_the_same_in_the_graph(tmp_path):
    def made():
        return [
            C.ModelCheckpoint("kept.weights.h5", save_weights_only=True),
            C.CSVLogger("log.csv"),
            C.TerminateOnNaN(),
        ]

    loaded = open_study(definition(callbacks=made))
    for name in ("graph", "fit"):
        trial = spec(optimizer="sgd", folder=str(tmp_path / name))
        [outcome] = World(trial).run(create_engine(name, loaded))
        assert outcome.engine == name
    logs = [
        np.genfromtxt(tmp_path / name / "log.csv", delimiter=",", names=True)
        for name in ("graph", "fit")
    ]
    assert logs[0].dtype.names == logs[1].dtype.names
    assert np.allclose(logs[0].tolist(), logs[1].tolist(), rtol=2e-4)
    assert (tmp_path / "graph" / "kept.weights.h5").exists()


class Batches(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class Validations(keras.callbacks.Callback):
    def on_test_batch_begin(self, batch, logs=None):
        pass


ACTING = {
    "a batch hook": (lambda: [Batches()], "Batches must be called at every batch"),
    "a test batch hook": (
        lambda: [Validations()],
        "Validations must be called at every batch",
    ),
    "a batch function": (
        lambda: [C.LambdaCallback(on_train_batch_end=lambda batch, logs: None)],
        "LambdaCallback",
    ),
    "a checkpoint every few batches": (
        lambda: [C.ModelCheckpoint("a.keras", save_freq=10**6)],
        "ModelCheckpoint",
    ),
    "a progress bar": (lambda: [C.ProgbarLogger()], "ProgbarLogger"),
}


def test_what_acts_on_batches_goes_to_fit_with_the_reason(tmp_path):
    callbacks, reason = ACTING["a batch hook"]
    trial = spec(optimizer="sgd", folder=str(tmp_path))
    [outcome] = World(trial).run(
        create_engine("graph", open_study(definition(callbacks=callbacks)))
    )
    assert (outcome.engine, outcome.status) == ("fit", Status.COMPLETE), outcome.reason
    assert reason in outcome.notes[0]


@pytest.mark.parametrize("name", ACTING)
def test_whatever_acts_on_batches_is_too_much_for_the_graph(name):
    callbacks, reason = ACTING[name]
    loaded = open_study(definition(callbacks=callbacks))
    facts = limits.AttemptFacts(
        definition=loaded.definition,
        spec=spec(),
        data=loaded.data(BATCH),
        callbacks=callbacks(),
    )
    with pytest.raises(limits.CannotCarry, match=reason):
        limits.check("graph", facts)


@pytest.mark.slow_matrix  # each trains by `fit` what the test above sees refused
@pytest.mark.parametrize("name", [name for name in ACTING if name != "a batch hook"])
def test_each_of_them_trains_in_fit(name, tmp_path):
    callbacks, reason = ACTING[name]
    trial = spec(optimizer="sgd", folder=str(tmp_path))
    [outcome] = World(trial).run(
        create_engine("graph", open_study(definition(callbacks=callbacks)))
    )
    assert (outcome.engine, outcome.status) == ("fit", Status.COMPLETE), outcome.reason
    assert reason in outcome.notes[0]


def test_a_backup_is_taken_out_of_yours_too_since_trials_are_resumed_otherwise():
    engine = create_engine(
        "graph",
        open_study(definition(callbacks=lambda: [C.BackupAndRestore("backup")])),
    )
    [outcome] = World(spec(yours=True)).run(engine)
    assert (outcome.engine, outcome.status) == ("graph", Status.COMPLETE), (
        outcome.reason
    )
    assert outcome.notes == (
        "BackupAndRestore taken out: trials are resumed from checkpoints of lrsearch's own",
    )


def test_functions_of_epochs_stay_in_the_graph():
    engine = create_engine(
        "graph",
        open_study(
            definition(
                callbacks=lambda: [C.LambdaCallback(on_epoch_end=lambda *_: None)]
            )
        ),
    )
    [outcome] = World(spec(optimizer="sgd")).run(engine)
    assert outcome.engine == "graph"


def test_a_callback_that_sets_a_searched_rate_goes_to_fit_which_says_that_it_cannot():
    class Mine(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.5

    [outcome] = World(spec()).run(
        create_engine("graph", open_study(definition(callbacks=lambda: [Mine()])))
    )
    assert (outcome.engine, outcome.status) == ("fit", Status.FAILED)
    assert "sets the optimizer's rate" in outcome.notes[0]
    assert "LearningRateSchedule" in outcome.reason


def test_an_exception_of_a_callback_ends_the_trial_at_once_with_a_traceback_of_the_users_own():
    calls = []

    class Broken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            calls.append(epoch)
            raise RuntimeError("my own mistake")

    [outcome] = World(spec()).run(
        create_engine("graph", open_study(definition(callbacks=lambda: [Broken()])))
    )
    assert (outcome.engine, outcome.status, outcome.reason) == (
        "graph",
        Status.FAILED,
        "RuntimeError: my own mistake",
    )
    assert "on_epoch_end" in outcome.traceback_text
    assert "lrsearch/engine" not in outcome.traceback_text
    assert calls == [0]


# -- what a kept graph cannot begin anew -----------------------------------------------


def test_start_values_from_tf_random_are_those_of_the_seed():
    def mine():
        made = keras.Sequential(
            [keras.layers.Input((5,)), keras.layers.Dense(1, use_bias=False)]
        )
        made.compile("sgd", "mse", metrics=["mae"])
        made.set_weights([tf.random.normal((5, 1)).numpy()])
        return made

    one, *others = [
        spec(place, seed=seed, optimizer="sgd") for place, seed in enumerate((3, 4, 3))
    ]
    study = definition(build_model=mine)
    first, *ours = World(one, *others).run(create_engine("graph", open_study(study)))
    assert_equal(
        ours[:1], World(*others[:1]).run(create_engine("fit", open_study(study)))
    )
    assert first.value == ours[1].value != ours[0].value


class Drawing(keras.layers.Layer):
    def call(self, x):
        return x + 0.1 * tf.random.normal(tf.shape(x))


class Counting(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.hidden = [tf.Variable(0.0)]

    def call(self, x):
        self.hidden[0].assign_add(1.0)
        return x / self.hidden[0]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Drawing, "draws from tf.random"),
        (Counting, "a variable that Keras does not know"),
    ],
)
def test_state_that_no_trial_could_begin_anew_goes_to_fit(layer, reason):
    def mine():
        made = keras.Sequential(
            [keras.layers.Input((5,)), layer(), keras.layers.Dense(1)]
        )
        made.compile("sgd", "mse", metrics=["mae"], jit_compile=False)
        return made

    engine = create_engine("graph", open_study(definition(build_model=mine)))
    [outcome] = World(spec(optimizer="sgd")).run(engine)
    assert (outcome.engine, outcome.status) == ("fit", Status.COMPLETE), outcome.reason
    assert reason in outcome.notes[0]


def test_mixed_precision_follows_its_schedule_by_the_updates_that_loss_scaling_lets_through():
    def mine():
        policy = keras.mixed_precision.dtype_policy()
        keras.mixed_precision.set_dtype_policy("mixed_float16")
        try:
            made = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(1)])
            made.compile("sgd", "mse", metrics=["mae"])
            return made
        finally:
            keras.mixed_precision.set_dtype_policy(policy)

    trial = spec(rate=0.05, optimizer="momentum")
    engine = create_engine("graph", open_study(definition(build_model=mine)))
    [ours] = World(trial).run(engine)
    [theirs] = World(trial).run(
        create_engine("fit", open_study(definition(build_model=mine)))
    )
    assert_equal([ours], [theirs])
    [program] = engine._programs.values()
    assert 0 < int(program.model.optimizer.inner_optimizer.iterations) < ours.steps, (
        "some were left out"
    )


# -- within a call ---------------------------------------------------------------------


def test_a_verdict_within_an_epoch_is_obeyed(graph, monkeypatch):
    monkeypatch.setattr("lrsearch.engine.attempt.WATCH_SECONDS", 0.0)
    world = World(spec())
    world.watch = lambda _progress: Verdict.INTERRUPT
    [outcome] = world.run(graph)
    assert (outcome.engine, outcome.status, outcome.epochs) == (
        "graph",
        Status.INTERRUPTED,
        0,
    )
    assert 0 < outcome.steps <= 5, "those of one call"


def test_a_call_takes_as_many_batches_as_its_pace_allows():
    pace = Pace()
    first = pace.batches
    pace.learn(first, 100.0)
    assert pace.batches == first, "the first call makes the kernels"
    pace.learn(first, 0.001)
    assert pace.batches == 4 * first, "and no more at once"
    pace.learn(8, 16.0)
    assert pace.batches == 1
