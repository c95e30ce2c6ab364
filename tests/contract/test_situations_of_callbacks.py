"""Callbacks, logs and metrics in the situations that people report; see test_situations.py."""

from functools import cache
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from engine_world import World, spec
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

from lrsearch.engine import (
    LoadedStudy,
    check_same_start,
    create_engine,
    inspect_study,
    open_study,
)
from lrsearch.errors import FingerprintMismatch, InvalidValue, UnknownName
from lrsearch.values import Status
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.loading import KerasLoader

pytestmark = pytest.mark.tensorflow
C = keras.callbacks
ENGINES = ("fit", "graph")


# -- callbacks -------------------------------------------------------------------------


class WarmUp(C.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate.assign(1e-3 * min(1.0, (epoch + 1) / 3))


class LateStep(C.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            self.model.optimizer.learning_rate = 1e-4


class Reader(C.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))


def function_of_epochs():
    callback = C.LambdaCallback(on_epoch_begin=WarmUp.on_epoch_begin)
    callback.on_epoch_begin = lambda epoch, logs=None: WarmUp.on_epoch_begin(
        callback, epoch
    )
    return callback


SETTERS = [WarmUp, LateStep, function_of_epochs]


@cache
def with_setter(setter):
    """The study whose callbacks are a reader of the rate and this setter, inspected once."""
    changed = study(epochs=4, callbacks=lambda: [Reader(), setter()])
    return changed, *inspected(changed)


@pytest.mark.parametrize("setter", SETTERS)
def test_a_callback_that_sets_the_rate_is_found_before_the_first_trial(setter):
    _, loaded, facts = with_setter(setter)
    name = type(setter()).__name__
    assert (
        f"{name} taken out: it sets the rate, which is what is searched" in facts.notes
    )
    assert loaded.findings.rate_callbacks == (f"1:{name}",), (
        "one that reads the rate stays"
    )
    assert "rate" in facts.metrics


# Whatever sets the rate is taken out alike, once it is found (the test above finds
# each).
@pytest.mark.parametrize(
    "setter",
    [
        WarmUp,
        pytest.param(LateStep, marks=pytest.mark.slow_matrix),
        pytest.param(function_of_epochs, marks=pytest.mark.slow_matrix),
    ],
)
def test_a_callback_that_sets_the_rate_is_taken_out_of_searched_trials_and_stays_in_yours(
    setter,
):
    changed, loaded, _ = with_setter(setter)
    specs = spec(1, optimizer="sgd"), spec(2, yours=True)
    searched, yours = World(*specs).run(create_engine("graph", loaded))
    assert searched.status is yours.status is Status.COMPLETE, (
        searched.reason,
        yours.reason,
    )
    history = plain_fit(changed, specs[1], callbacks=[Reader(), setter()])[1]
    assert_plain(yours, history)


class Rank(C.Callback):
    """A metric that only a callback knows."""

    def on_epoch_end(self, epoch, logs=None):
        p = self.model.predict(X[24:], verbose=0)[:, 0]
        logs["val_rank"] = float(np.mean(np.argsort(p) == np.argsort(Y[24:, 0])))


RANKED = study(objective="val_rank", direction="maximize", callbacks=lambda: [Rank()])


@pytest.fixture(scope="module")
def ranked():
    """The study as it is after its inspection, and what plain Keras logs."""
    return inspected(RANKED)[0], plain_fit(
        RANKED, spec(optimizer="sgd"), callbacks=[Rank()]
    )[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_objective_may_be_what_a_callback_logs(engine, ranked):
    loaded, history = ranked
    [outcome] = World(spec(optimizer="sgd")).run(create_engine(engine, loaded))
    assert_plain(outcome, history)
    assert outcome.value == outcome.logs["val_rank"]


def test_an_objective_of_a_callback_needs_its_direction_and_its_name():
    with pytest.raises(InvalidValue, match="direction"):
        inspect_study(
            study(objective="val_rank", direction=None, callbacks=lambda: [Rank()])
        )
    with pytest.raises(UnknownName, match="val_loss, val_rank"):
        inspect_study(study(objective="val_rang", callbacks=lambda: [Rank()]))


NOISE = np.random.default_rng(0)
WIDE = NOISE.normal(size=(60, 20)).astype("float32")
COIN = (WIDE[:, 0] + NOISE.normal(size=60) > 0).astype("float32")


def overfits():
    model = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-2), "binary_crossentropy")
    return model


def thirds():
    return tuple((WIDE[place::3], COIN[place::3]) for place in range(3))


def restoring():
    return [C.EarlyStopping(monitor="val_loss", patience=4, restore_best_weights=True)]


class OwnRestore(C.Callback):
    """Puts the second epoch's weights back."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.kept = self.model.get_weights()

    def on_train_end(self, logs=None):
        self.model.set_weights(self.kept)


class Zeros(C.Callback):
    """Ends with weights that no epoch had."""

    def on_train_end(self, logs=None):
        self.model.set_weights([0 * each for each in self.model.get_weights()])


def own_restore():
    return [OwnRestore()]


def zeros():
    return [Zeros()]


KEPT = spec(yours=True, test_split=True)


@cache
def plainly_kept(callbacks):
    """The study, and in plain Keras: the validation's loss and the test's of the
    weights that the run keeps, and the last epoch's. Trained once for both engines.
    """
    changed = study(
        build_model=overfits, load_data=thirds, epochs=10, callbacks=callbacks
    )
    model, history = plain_fit(changed, KEPT, callbacks=callbacks())
    _, validation, test = thirds()
    kept, tested = (model.evaluate(*part, verbose=0) for part in (validation, test))
    return changed, kept, tested, history["val_loss"][-1]


# What an engine does of its own, evaluating the kept weights, is the same whoever put
# them back.
@pytest.mark.parametrize(
    ("callbacks", "engine"),
    [
        pytest.param(
            callbacks,
            engine,
            marks=()
            if (callbacks, engine) in {(restoring, "graph"), (zeros, "fit")}
            else pytest.mark.slow_matrix,
        )
        for callbacks in (restoring, own_restore, zeros)
        for engine in ENGINES
    ],
)
def test_a_run_is_judged_at_the_weights_that_it_keeps(callbacks, engine):
    changed, kept, tested, last = plainly_kept(callbacks)
    [outcome] = trained(changed, KEPT, engine=engine)
    assert kept != pytest.approx(last, rel=1e-2), "other weights than the last epoch's"
    assert outcome.value == pytest.approx(kept, rel=1e-4)
    assert outcome.logs["test_loss"] == pytest.approx(tested, rel=1e-4)
    assert "judged" in outcome.reason


# The callback is taken out by the same function in every engine
# (attempt_start.keep_callbacks).
@pytest.mark.parametrize(
    "engine", [pytest.param("fit", marks=pytest.mark.slow_matrix), "graph"]
)
def test_swapped_averages_do_not_change_the_training_of_schedule_free_optimizers(
    engine,
):
    def mine():
        made = dense()()
        made.compile(keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9), "mse")
        return made

    trial = spec(optimizer="schedule_free_adamw", schedule="constant")
    [plain] = World(trial).run(
        create_engine(engine, open_study(study(build_model=mine)))
    )
    [swapped] = trained(
        study(build_model=mine, callbacks=lambda: [C.SwapEMAWeights()]),
        trial,
        engine=engine,
    )
    assert swapped.logs == plain.logs
    assert any("SwapEMAWeights taken out" in note for note in swapped.notes)


class OwnSwap(C.Callback):
    """Validates at half the weights, as averages of the user's own would."""

    def on_test_begin(self, logs=None):
        self.kept = self.model.get_weights()
        self.model.set_weights([each / 2 for each in self.kept])

    def on_test_end(self, logs=None):
        self.model.set_weights(self.kept)


@pytest.mark.parametrize("engine", ["graph"])
def test_what_a_callback_swaps_for_a_validation_is_undone_before_our_average_is(engine):
    trial = spec(optimizer="schedule_free_adamw", schedule="constant")
    plain, swapped = (
        World(trial).run(create_engine(engine, open_study(each)))[0]
        for each in (study(), study(callbacks=lambda: [OwnSwap()]))
    )
    assert swapped.logs["loss"] == plain.logs["loss"]
    assert swapped.logs["val_loss"] != plain.logs["val_loss"]


# -- logs ------------------------------------------------------------------------------


class Confusion(keras.metrics.Metric):
    """A matrix."""

    def __init__(self):
        super().__init__(name="confusion")
        self.cells = self.add_weight(shape=(2, 2), initializer="zeros")

    def update_state(self, y, p, sample_weight=None):
        self.cells.assign_add(ops.ones((2, 2)))

    def result(self):
        return ops.copy(self.cells)


class Says(C.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["mood"] = "good"


@pytest.fixture(scope="module")
def confused():
    return inspected(
        study(build_model=dense(lambda: [Confusion()]), callbacks=lambda: [Says()])
    )


@pytest.mark.parametrize("engine", ["fit", "graph", "vectorized"])
def test_logs_that_are_no_numbers_are_left_out_and_named_once(engine, confused):
    loaded, facts = confused
    assert (
        "not kept, since it is no number: confusion, mood, val_confusion" in facts.notes
    )
    assert set(facts.metrics) == {"loss", "val_loss"}
    [outcome] = World(spec(optimizer="sgd")).run(create_engine(engine, loaded))
    assert outcome.status is Status.COMPLETE, outcome.traceback_text
    assert set(outcome.logs) == {"loss", "val_loss"}


def test_an_objective_that_is_no_number_is_refused():
    with pytest.raises(InvalidValue, match="one number per epoch"):
        inspect_study(
            study(
                build_model=dense(lambda: [Confusion()]),
                objective="val_confusion",
                direction="minimize",
            )
        )


def undefined_until(epoch):
    """A metric that is NaN as long as the model's outputs are near where they begin: as
    an F1 that is 0/0.
    """

    class Late(C.Callback):
        def on_epoch_end(self, place, logs=None):
            logs["val_f1"] = float("nan") if place < epoch else 0.5 + 0.1 * place

    return lambda: [Late()]


@pytest.mark.parametrize(
    ("engine", "epoch", "which", "value"),
    [
        ("fit", 2, "last", 0.7),
        ("graph", 9, "last", None),
        # which epoch counts is in the books of an attempt:
        # tests/unit/engine/test_attempt.py
        pytest.param("graph", 1, "best", 0.7, marks=pytest.mark.slow_matrix),
        pytest.param("fit", 9, "best", None, marks=pytest.mark.slow_matrix),
    ],
)
def test_an_objective_that_is_undefined_counts_in_the_epoch_that_counts(
    epoch, which, value, engine
):
    options = {"objective": "val_f1", "direction": "maximize", "objective_epoch": which}
    changed = study(**options, callbacks=undefined_until(epoch))
    engine = create_engine(engine, open_study(changed))
    [outcome] = World(spec(optimizer="sgd")).run(engine)
    assert (outcome.status, outcome.epochs) == (Status.COMPLETE, 3)
    assert outcome.value == (None if value is None else pytest.approx(value))
    assert ("no value: val_f1 was not finite" in outcome.reason) is (value is None)


# -- workers ---------------------------------------------------------------------------


def drawn_anew(batch_size=8):
    # NumPy's global generator would repeat itself: an inspection seeds it, and a test
    # that ran before this one may have ended with an inspection.
    order = np.random.default_rng().permutation(40)
    return split(X[order], Y[order])()


def test_a_split_that_is_drawn_anew_is_refused_by_the_next_worker():
    changed = study(load_data=drawn_anew)
    _, facts = inspected(changed)
    recorded = {"fingerprint": facts.fingerprint, "recorded": facts.recorded}
    plan = SimpleNamespace(facts=facts)
    record = SimpleNamespace(name="mine", plan=plan, facts=facts, **recorded)
    config = WorkerConfig(storage="", study_file=None, checkpoints="", engine="fit")
    with pytest.raises(
        FingerprintMismatch,
        match=r"made from other data .*data.validation.*random_state",
    ):
        KerasLoader(config, changed).open(record)


def test_data_of_every_batch_size_is_compared():
    calls = []

    def only_later(batch_size):
        calls.append(batch_size)
        return drawn_anew() if batch_size == 4 else split(X, Y)()

    changed = study(load_data=only_later, batch_size=[8, 4])
    loaded = LoadedStudy(definition=changed)
    facts = inspect_study(changed, loaded=loaded)
    check_same_start(open_study(changed, loaded=loaded, facts=facts), facts, "mine")
    with pytest.raises(FingerprintMismatch, match="of batch size 4"):
        check_same_start(open_study(changed, facts=facts), facts, "mine")
    assert calls == [8, 4, 8, 4]
