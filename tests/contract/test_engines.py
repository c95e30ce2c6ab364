"""What every engine promises its worker, held by the engines that train and by the
stand-in that drills use.
"""

import json
import math
from functools import cache

import keras
import pytest
from engine_world import (
    BATCH,
    EPOCHS,
    EXAMPLES,
    TRAINING_ENGINES,
    World,
    definition,
    model,
    normed,
    spec,
)
from worker_toy import ToyEngine

from lrsearch.engine import create_engine, open_study
from lrsearch.space import rates
from lrsearch.values import Status, Verdict

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def fit():
    return create_engine("fit", open_study(definition()))


@pytest.fixture(scope="module")
def graph():
    return create_engine("graph", open_study(definition(build_model=normed)))


@pytest.fixture(scope="module")
def vectorized():
    return create_engine("vectorized", open_study(definition(build_model=normed)))


@pytest.fixture(params=[*TRAINING_ENGINES, "toy"])
def engine(request, fit, graph, vectorized):
    known = {
        "fit": fit,
        "graph": graph,
        "vectorized": vectorized,
        "toy": ToyEngine({"epochs": EPOCHS}),
    }
    return known.get(request.param) or create_engine(
        request.param, open_study(definition())
    )


@pytest.fixture(scope="module")
def twice():
    """By engine, two trials of one seed as they went; trained once for all tests."""

    @cache
    def ran(engine):
        world = World(spec(1), spec(2))
        world.outcomes = world.run(engine)
        return world

    return ran


def ends_of_first(world):
    return [each for each in world.ends if each.trial_id == 1]


# -- the contract ----------------------------------------------------------------------


def test_it_trains_what_the_source_hands_out_and_yields_an_outcome_each(engine, twice):
    outcomes = twice(engine).outcomes
    assert [(each.trial_id, each.attempt, each.status) for each in outcomes] == [
        (1, 1, Status.COMPLETE),
        (2, 1, Status.COMPLETE),
    ]
    assert all(
        each.epochs == EPOCHS
        and math.isfinite(each.value)
        and each.engine == engine.name
        for each in outcomes
    )


@pytest.mark.parametrize(
    "name",
    [
        *(
            pytest.param(each, marks=pytest.mark.slow_matrix)
            for each in ("fit", "graph")
        ),
        "vectorized",
    ],
)
def test_a_policy_of_the_study_files_top_holds_for_every_trial(name):
    seen = []

    def mine():
        made = model()
        seen.append(made.layers[-1].compute_dtype)
        return made

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        specs = spec(1, optimizer="sgd"), spec(2, optimizer="sgd")
        World(*specs).run(create_engine(name, open_study(definition(build_model=mine))))
        assert set(seen) == {"bfloat16"}
    finally:
        keras.config.set_dtype_policy(before)


def test_the_rates_of_the_first_the_peak_and_the_last_update_are_the_schedules(
    engine, twice
):
    world = twice(engine)
    if engine.name == "toy":
        return
    total = EPOCHS * math.ceil(EXAMPLES / BATCH)
    planned = rates(spec(1).setting, total)
    for each in world.outcomes:
        found = (each.rates.first, each.rates.peak, each.rates.last)
        assert found == pytest.approx(
            (planned[0], planned.max(), planned[-1]), rel=1e-6
        )
        assert not any("learning rate" in note for note in each.notes)


def test_it_tells_of_every_epochs_end_in_order(engine, twice):
    ends = ends_of_first(twice(engine))
    assert [each.epoch for each in ends] == [1, 2, 3, 4]
    assert all(each.value is not None and each.logs for each in ends)
    steps = [each.step for each in ends]
    assert steps == sorted(set(steps))
    assert steps[-1] == ends[-1].total_steps


VERDICTS = {
    Verdict.PRUNE: Status.PRUNED,
    Verdict.INTERRUPT: Status.INTERRUPTED,
    Verdict.LOST: Status.LOST,
}


# Which status a verdict gives is in the books of an attempt
# (tests/unit/engine/test_attempt.py), so `fit`, which traces every trial, is stopped by
# one of them.
@pytest.mark.parametrize(
    ("engine", "verdict", "status"),
    [
        pytest.param(
            name,
            verdict,
            status,
            marks=pytest.mark.slow_matrix
            if name == "fit" and verdict != Verdict.PRUNE
            else (),
        )
        for name in [*TRAINING_ENGINES, "toy"]
        for verdict, status in VERDICTS.items()
    ],
    indirect=["engine"],
)
def test_it_obeys_a_verdict_at_once_and_goes_on_with_the_next_trial(
    engine, verdict, status
):
    world = World(spec(1), spec(2), verdicts={2: verdict})
    world.verdicts = {2: verdict}
    first, second = world.run(engine)
    assert (first.status, first.epochs) == (status, 2)
    assert second.trial_id == 2


def test_it_offers_a_snapshot_at_every_epochs_end_but_the_last_and_resumes_from_it(
    engine,
):
    whole = World(spec(optimizer="adam"), keep=True)
    [alone] = whole.run(engine)
    snapshots = {each.epoch: each for each in whole.snapshots}
    assert {1, 2, 3} <= set(snapshots)
    resumed = World(spec(optimizer="adam", attempt=2, resume=snapshots[2]))
    [again] = resumed.run(engine)
    assert [each.epoch for each in resumed.ends] == [3, 4]
    assert again.value == alone.value, "bitwise"
    assert json.dumps(snapshots[2].meta), "meta is JSON"


# -- the fit engine itself -------------------------------------------------------------


def test_the_same_seed_trains_the_same_and_another_one_does_not(fit, twice):
    one, two = twice(fit).outcomes
    [other] = World(spec(3, seed=8)).run(fit)
    assert one.value == two.value
    assert one.value != other.value


def test_it_follows_the_schedule_to_the_last_update(fit, twice):
    ends = ends_of_first(twice(fit))
    wanted = rates(spec().setting, ends[0].total_steps)
    assert [each.rate for each in ends] == pytest.approx(
        [wanted[each.step - 1] for each in ends]
    )


@pytest.mark.parametrize(
    "rate", [pytest.param(1e6, marks=pytest.mark.slow_matrix), 1e25]
)
def test_a_rate_that_is_far_too_high_is_divergence_within_a_few_updates_and_not_a_failure(
    fit, rate
):
    [outcome] = World(spec(rate=rate, optimizer="sgd", schedule="constant")).run(fit)
    assert outcome.status is Status.DIVERGED
    assert outcome.value is None
    assert outcome.steps <= 10
    assert "update" in outcome.reason


def test_yours_is_the_users_own_compile_unchanged_and_a_searched_trial_is_not():
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(
                (
                    type(self.model.optimizer).__name__,
                    float(self.model.optimizer.learning_rate),
                )
            )

    engine = create_engine("fit", open_study(definition(callbacks=lambda: [Look()])))
    World(
        spec(1, yours=True), spec(2, optimizer="sgd", schedule="constant", rate=0.05)
    ).run(engine)
    assert seen == [("Adam", pytest.approx(1e-2)), ("SGD", pytest.approx(0.05))]


def test_an_exception_of_the_users_code_fails_its_trial_with_a_traceback_of_their_own():
    class Broken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("my own mistake")

    engine = create_engine("fit", open_study(definition(callbacks=lambda: [Broken()])))
    first, second = World(spec(1), spec(2)).run(engine)
    assert (first.status, second.status) == (Status.FAILED, Status.FAILED)
    assert "my own mistake" in first.reason
    assert "on_epoch_end" in first.traceback_text
    assert "lrsearch/engine" not in first.traceback_text


def test_callbacks_that_fight_the_schedule_are_taken_out_aloud_but_stay_in_yours(
    tmp_path,
):
    def made():
        early = keras.callbacks.EarlyStopping(
            monitor="loss", patience=0, min_delta=10.0
        )
        return [early, keras.callbacks.ModelCheckpoint("best.keras")]

    engine = create_engine("fit", open_study(definition(callbacks=made)))
    searched, yours = World(
        spec(1, folder=str(tmp_path / "a")),
        spec(2, yours=True, folder=str(tmp_path / "b")),
    ).run(engine)
    assert searched.epochs == EPOCHS
    assert "EarlyStopping" in searched.notes[0]
    assert yours.epochs < EPOCHS
    assert (tmp_path / "a" / "best.keras").exists()
    assert (tmp_path / "b" / "best.keras").exists()


@pytest.mark.parametrize(
    "name", [pytest.param("fit", marks=pytest.mark.slow_matrix), "graph"]
)
def test_every_callback_that_sets_rates_is_taken_out_and_yours_begins_it_anew_when_resumed(
    name,
):
    def made():
        plateau = keras.callbacks.ReduceLROnPlateau(
            monitor="loss", patience=0, factor=0.1
        )
        return [
            plateau,
            keras.callbacks.LearningRateScheduler(lambda _epoch, rate: rate / 2),
        ]

    engine = create_engine(name, open_study(definition(callbacks=made)))
    whole = World(spec(1), spec(2, yours=True), keep=True)
    searched, _ = whole.run(engine)
    assert searched.notes[0].startswith(
        "LearningRateScheduler, ReduceLROnPlateau taken out"
    )
    assert [each.rate for each in whole.ends[:EPOCHS]] == pytest.approx(
        [rates(spec().setting, 20)[5 * epoch - 1] for epoch in range(1, EPOCHS + 1)],
        rel=1e-5,
    )
    snapshot = [each for each in whole.snapshots if each.epoch == 2][-1]
    [again] = World(spec(2, attempt=2, yours=True, resume=snapshot)).run(engine)
    assert again.status is Status.COMPLETE
    assert any("began anew where the trial was resumed" in note for note in again.notes)


def test_a_retest_sees_the_test_split(fit, twice):
    plain, _ = twice(fit).outcomes
    [retest] = World(spec(2, test_split=True)).run(fit)
    assert not [name for name in plain.logs if name.startswith("test_")]
    assert math.isfinite(retest.logs["test_mae"])
    assert retest.value == plain.value, "the objective stays the validation's"


# adam is resumed in every engine above
@pytest.mark.parametrize(
    "optimizer",
    ["schedule_free_adamw", pytest.param("lion", marks=pytest.mark.slow_matrix)],
)
def test_resume_is_exact_for_optimizers_with_state_of_their_own(fit, optimizer):
    whole = World(spec(optimizer=optimizer), keep=True)
    [alone] = whole.run(fit)
    [again] = World(
        spec(optimizer=optimizer, attempt=2, resume=whole.snapshots[1])
    ).run(fit)
    assert again.value == alone.value
    assert again.best_value == alone.best_value


def test_clipping_ema_and_decay_exclusions_are_kept_of_the_users_optimizer():
    def mine():
        made = model()
        optimizer = keras.optimizers.AdamW(
            1e-3, clipnorm=0.5, use_ema=True, ema_momentum=0.9
        )
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        made.compile(optimizer, "mse", metrics=["mae"])
        return made

    from lrsearch.engine.compiling import fresh_model, set_searched

    ours = fresh_model(definition(build_model=mine), {})
    set_searched(ours, spec(optimizer="lion").setting, total_steps=20, accumulation=1)
    optimizer = ours.optimizer
    assert (
        type(optimizer).__name__,
        optimizer.clipnorm,
        optimizer.use_ema,
        optimizer.ema_momentum,
    ) == ("Lion", 0.5, True, 0.9)
    assert optimizer._exclude_from_weight_decay_pattern.search("dense/bias")
    plain = fresh_model(definition(), {})
    set_searched(plain, spec().setting, total_steps=20, accumulation=1)
    assert not plain.optimizer.use_ema


def test_accumulation_counts_updates_and_feeds_each_rate_k_times():
    engine = create_engine("fit", open_study(definition(gradient_accumulation_steps=3)))
    world = World(spec())
    [outcome] = world.run(engine)
    batches = EPOCHS * math.ceil(EXAMPLES / BATCH)
    assert world.ends[-1].total_steps == outcome.steps == batches // 3


def test_steps_per_epoch_shortens_an_epoch():
    engine = create_engine("fit", open_study(definition(steps_per_epoch=2)))
    [outcome] = World(spec()).run(engine)
    assert outcome.steps == 2 * EPOCHS


def test_the_best_epochs_value_can_be_the_objective():
    engine = create_engine("fit", open_study(definition(objective_epoch="best")))
    [outcome] = World(spec(rate=0.3, schedule="constant")).run(engine)
    assert outcome.value == outcome.best_value
    assert outcome.best_value <= outcome.last_value


def test_mixed_precision_keeps_its_loss_scaling():
    def mine():
        policy = keras.mixed_precision.dtype_policy()
        keras.mixed_precision.set_dtype_policy("mixed_float16")
        try:
            return model()
        finally:
            keras.mixed_precision.set_dtype_policy(policy)

    [outcome] = World(spec()).run(
        create_engine("fit", open_study(definition(build_model=mine)))
    )
    assert outcome.status is Status.COMPLETE


def test_fit_traces_the_training_step_once():
    traced = []

    class Traced(keras.layers.Layer):
        def call(self, x, training=False):
            traced.append(training)
            return x

    def build_model():
        made = keras.Sequential(
            [keras.layers.Input((5,)), Traced(), keras.layers.Dense(1)]
        )
        made.compile("adam", "mse", metrics=["mae"])
        return made

    engine = create_engine("fit", open_study(definition(build_model=build_model)))
    traced.clear()
    [outcome] = World(spec()).run(engine)
    assert outcome.status is Status.COMPLETE
    assert traced.count(True) == 1


def test_memory_of_trials_does_not_add_up(fit):
    import gc

    def objects():
        gc.collect()
        return sum(isinstance(each, keras.Model) for each in gc.get_objects())

    one, two, three = (spec(number, optimizer="sgd") for number in (1, 2, 3))
    World(one).run(fit)
    before = objects()
    World(two, three).run(fit)
    assert objects() <= before
