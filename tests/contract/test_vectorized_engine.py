"""The vectorized engine trains many trials at once as the graph engine trains each, and
hands over what cannot be a row.
"""

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
    even_data,
    model,
    normed,
    spec,
)

from lrsearch import SearchSpace
from lrsearch.engine import AutoEngine, GraphEngine, VectorizedEngine, open_study
from lrsearch.space import OPTIMIZERS
from lrsearch.values import Setting, Status, Verdict

pytestmark = pytest.mark.tensorflow

# tests/contract/test_equality.py has every one
MIXED = ("momentum", "nadam", "schedule_free_adamw")


@pytest.fixture(scope="module")
def vectorized():
    return VectorizedEngine(open_study(definition(build_model=normed)))


@pytest.fixture(scope="module")
def graph():
    return GraphEngine(open_study(definition(build_model=normed)))


def has(name):
    """Whether this Keras has the optimizer."""
    return hasattr(keras.optimizers, OPTIMIZERS[name].keras)


def plain(trial_id, **changes):
    """A spec of the optimizer that is traced soonest."""
    return spec(trial_id, optimizer="sgd", **changes)


def with_hyper(trial_id, optimizer, **hyper):
    made = Setting(
        optimizer=optimizer,
        learning_rate=1e-2,
        schedule="constant",
        batch_size=BATCH,
        hyper=hyper,
    )
    return spec(trial_id, seed=trial_id, setting=made)


def by_id(outcomes):
    return {each.trial_id: each for each in outcomes}


def assert_alike(ours, theirs, *, engine="vectorized"):
    ours, theirs = by_id(ours), by_id(theirs)
    assert set(ours) == set(theirs)
    for number, one in ours.items():
        other = theirs[number]
        assert (one.engine, one.status, one.epochs, one.steps) == (
            engine,
            other.status,
            other.epochs,
            other.steps,
        ), one.notes
        assert one.logs == pytest.approx(other.logs, rel=2e-4, abs=1e-6)
        assert one.last_value == pytest.approx(other.last_value, rel=2e-4)


def both(*specs, **fields):
    """Outcomes of the same specs by `vectorized` and by `graph`."""
    loaded = open_study(definition(**fields))
    return [
        World(*specs).run(engine(loaded)) for engine in (VectorizedEngine, GraphEngine)
    ]


# -- the same training -----------------------------------------------------------------


# tests/contract/test_equality.py trains all optimizers' rows together
@pytest.mark.slow_matrix
def test_different_optimizers_train_beside_each_other_as_they_do_alone(
    vectorized, graph
):
    names = [name for name in MIXED if has(name)]
    specs = [
        spec(number, optimizer=name, seed=number, rate=3e-3)
        for number, name in enumerate(names)
    ]
    assert_alike(World(*specs).run(vectorized), World(*specs).run(graph))


def test_accumulation_clipping_averages_and_class_weights_reach_every_row():
    specs = [
        spec(1, optimizer="momentum"),
        spec(2, optimizer="momentum", seed=9, rate=3e-3),
        spec(3, optimizer="momentum", seed=5, test_split=True),
    ]
    ours, theirs = both(*specs, **all_at_once("mae", "AUC"))
    assert_alike(ours, theirs)
    assert by_id(ours)[3].logs["test_mae"] == pytest.approx(
        by_id(theirs)[3].logs["test_mae"], rel=2e-4
    )


def test_several_inputs_and_outputs_and_sample_weights_are_rows_too():
    def mine():
        left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
        joined = keras.layers.Concatenate()(
            [keras.layers.Dense(4, "relu")(left), right]
        )
        made = keras.Model(
            {"left": left, "right": right},
            [keras.layers.Dense(1, name=name)(joined) for name in ("one", "two")],
        )
        made.compile("sgd", ["mse", "mae"], metrics=[["mae"], ["mae"]])
        return made

    def pairs():
        (x, y), _, _ = even_data()
        weight = np.linspace(0.5, 2.0, len(x)).astype("float32")
        split = ({"left": x, "right": x[:, ::-1].copy()}, [y, -y], [weight, weight])
        return split, split

    fields = {"build_model": mine, "load_data": pairs, "objective": "val_loss"}
    assert_alike(*both(plain(1), plain(2, seed=3), **fields))


def test_searched_hyperparameters_are_columns_of_one_family():
    space = SearchSpace(
        hyper={
            "adamw": {"beta_2": (0.9, 0.999), "weight_decay": (1e-4, 1e-1)},
            "momentum": {"momentum": (0.5, 0.9)},
        }
    )
    loaded = open_study(definition(space=space))
    specs = [
        with_hyper(1, "adamw", beta_2=0.95, weight_decay=0.01), with_hyper(2, "adamw", beta_2=0.99, weight_decay=0.05),
        with_hyper(3, "momentum", momentum=0.6), with_hyper(4, "momentum", momentum=0.9),
    ]  # fmt: skip
    engine = VectorizedEngine(loaded)
    # A column whose rows had all the first one's number, or all the last one's, would
    # show in the two in the middle; `graph` traces each setting anew.
    rows = World(*specs).run(engine)
    assert sorted((each.trial_id, each.status) for each in rows) == [
        (number, Status.COMPLETE) for number in (1, 2, 3, 4)
    ]
    middle = [each for each in rows if each.trial_id in {2, 3}]
    assert_alike(middle, World(*specs[1:3]).run(GraphEngine(loaded)))
    assert len(engine.stack(BATCH).program.families) == 2


class Noise(keras.layers.Layer):
    """Draws from Keras' global generator, whose state is a trial's own."""

    def call(self, x, training=False):
        return (
            x + keras.random.normal(keras.ops.shape(x), stddev=0.3) if training else x
        )


def test_rows_that_join_together_draw_each_from_its_own_seed():
    def mine():
        made = keras.Sequential(
            [keras.layers.Input((5,)), Noise(), keras.layers.Dense(1)]
        )
        made.compile("sgd", "mse", metrics=["mae"])
        return made

    assert_alike(*both(plain(1), plain(2, seed=3), plain(3, seed=5), build_model=mine))


def test_a_model_that_its_data_has_to_build_is_a_row_too():
    def mine():
        made = keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
        made.compile("sgd", "mse", metrics=["mae"])
        return made

    assert_alike(*both(plain(1), plain(2, seed=3), build_model=mine))


def test_a_retest_on_a_dataset_is_trained_alone():
    def load():
        train, validation, test = even_data()
        return train, validation, tf.data.Dataset.from_tensor_slices(test).batch(BATCH)

    specs = [plain(1), plain(2, seed=3, test_split=True)]
    outcomes = by_id(
        World(*specs).run(VectorizedEngine(open_study(definition(load_data=load))))
    )
    assert (outcomes[1].engine, outcomes[2].engine) == ("vectorized", "graph")
    assert "dataset" in outcomes[2].notes[0]
    assert "test_mae" in outcomes[2].logs


# -- rows come and go ------------------------------------------------------------------


def test_a_row_that_ends_is_filled_again_at_the_next_epoch(vectorized):
    vectorized.width = 2
    world = World(
        *(spec(number, seed=number) for number in range(5)), verdicts={1: Verdict.PRUNE}
    )
    outcomes = world.run(vectorized)
    vectorized.width = 16
    assert sorted(each.trial_id for each in outcomes) == [0, 1, 2, 3, 4]
    assert {each.status for each in outcomes} == {Status.PRUNED}
    assert [each.trial_id for each in world.ends] == [0, 1, 2, 3, 4]


def test_it_holds_as_many_attempts_as_it_is_wide_and_never_more(vectorized):
    vectorized.width, held = 3, []
    world = World(*(spec(number, seed=number) for number in range(7)))
    source, watch, most = world.source, world.watch, []

    def counted():
        found = source()
        held.extend([] if found is None else [found.trial_id])
        return found

    def watched(progress):
        most.append(len(held))
        return watch(progress)

    for outcome in vectorized.train(counted, watched, world.save):
        held.remove(outcome.trial_id)
    vectorized.width = 16
    assert max(most) == 3
    assert not held


def test_a_neighbour_that_diverges_changes_nothing(vectorized):
    wild = spec(9, rate=1e25, optimizer="sgd", schedule="constant")
    beside = by_id(World(spec(1), wild, spec(2, seed=8)).run(vectorized))
    calm = by_id(World(spec(1), spec(2, seed=8)).run(vectorized))
    assert (beside[9].status, beside[9].value) == (Status.DIVERGED, None)
    assert beside[9].steps <= 10
    for number in (1, 2):
        assert beside[number].value == pytest.approx(calm[number].value, rel=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        *(
            pytest.param(each, marks=pytest.mark.slow_matrix)
            for each in ("adam", "nadam")
        ),
        "schedule_free_adamw",  # whose state is the largest
    ],
)
def test_a_checkpoint_of_one_engine_is_resumed_by_the_other(
    vectorized, graph, optimizer
):
    if not has(optimizer):
        pytest.skip("not in this Keras")
    for first, second in ((graph, vectorized), (vectorized, graph)):
        whole = World(spec(optimizer=optimizer), keep=True)
        [alone] = whole.run(first)
        [again] = World(
            spec(attempt=2, resume=whole.snapshots[1], optimizer=optimizer)
        ).run(second)
        assert again.engine == second.name
        assert again.value == pytest.approx(alone.value, rel=2e-4)


def test_each_batch_size_has_a_stack_of_its_own():
    loaded = open_study(definition(batch_size=[4, 8]))
    small = Setting(
        optimizer="sgd", learning_rate=1e-2, schedule="constant", batch_size=4
    )
    specs = [plain(1), spec(2, setting=small), plain(3, seed=9)]
    assert_alike(
        World(*specs).run(VectorizedEngine(loaded)),
        World(*specs).run(GraphEngine(loaded)),
    )


def test_an_attempt_whose_worker_was_lost_before_trains_with_nobody_beside_it(
    vectorized,
):
    world = World(spec(1), spec(2, seed=8, alone=True), spec(3, seed=9))
    outcomes = world.run(vectorized)
    assert [(each.trial_id, each.engine) for each in outcomes] == [
        (1, "vectorized"),
        (2, "graph"),
        (3, "vectorized"),
    ]
    assert [each.trial_id for each in world.ends] == [1] * EPOCHS + [2] * EPOCHS + [
        3
    ] * EPOCHS
    assert "lost before" in outcomes[1].notes[0]


def test_a_source_that_has_nothing_is_not_asked_in_every_epoch(vectorized):
    world, asked = World(spec(1)), []

    def source():
        asked.append(len(world.ends))
        return world.source()

    list(vectorized.train(source, world.watch, world.save))
    assert asked[:2] == [0, 0]
    assert asked[2:] == [EPOCHS], "again when its row has ended"


# -- what cannot be a row --------------------------------------------------------------


def test_what_cannot_be_a_row_is_trained_alone_with_the_reason(vectorized):
    outcomes = by_id(
        World(spec(1, yours=True), spec(2, optimizer="lamb"), spec(3)).run(vectorized)
    )
    assert {number: each.engine for number, each in outcomes.items()} == {
        1: "graph",
        2: "graph",
        3: "vectorized",
    }
    assert "yours" in outcomes[1].notes[0]
    assert "lamb looks at whole matrices" in outcomes[2].notes[0]


class Custom(keras.Sequential):
    def train_step(self, batch):
        return super().train_step(batch)


def custom_step():
    made = Custom([keras.layers.Input((5,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse", metrics=["mae"])
    return made


def constrained():
    layer = keras.layers.Dense(1, kernel_constraint=keras.constraints.MaxNorm(0.5))
    made = keras.Sequential([keras.layers.Input((5,)), layer])
    made.compile("sgd", "mse", metrics=["mae"])
    return made


def compiled_with_xla():
    made = model()
    made.compile("sgd", "mse", metrics=["mae"], jit_compile=True)
    return made


def embedded():
    made = keras.Sequential(
        [
            keras.layers.Input((5,)),
            keras.layers.Embedding(9, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    made.compile("adam", "mse", metrics=["mae"])
    return made


def words():
    (x, y), _, _ = data()
    split = (np.abs(x * 3).astype("int32") % 9, y)
    return split, split


class MonteCarlo(keras.layers.Dropout):
    """Draws in evaluation too."""

    def call(self, inputs):
        return super().call(inputs, training=True)


def noisy_always():
    made = keras.Sequential(
        [keras.layers.Input((5,)), MonteCarlo(0.5), keras.layers.Dense(1)]
    )
    made.compile("sgd", "mse", metrics=["mae"])
    return made


def normalised_by_itself():
    made = keras.Sequential(
        [
            keras.layers.Input((5,)),
            keras.layers.SpectralNormalization(keras.layers.Dense(4)),
            keras.layers.Dense(1),
        ]
    )
    made.compile("sgd", "mse", metrics=["mae"])
    return made


class OwnMetrics(keras.Sequential):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred, sample_weight)


def own_metrics():
    made = OwnMetrics([keras.layers.Input((5,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse", metrics=["mae"])
    return made


NO_ROWS = {
    "embedding": ({"build_model": embedded, "load_data": words}, "embedding"),
    "train_step": ({"build_model": custom_step}, "train_step of its own"),
    "constraint": ({"build_model": constrained}, "constraints"),
    "xla": ({"build_model": compiled_with_xla}, "jit_compile"),
    "callbacks": ({"callbacks": lambda: [keras.callbacks.Callback()]}, "callbacks"),
    "steps": ({"steps_per_epoch": 2}, "steps_per_epoch"),
    "noise": ({"build_model": noisy_always}, "state in evaluation"),
    "spectral": ({"build_model": normalised_by_itself}, "sets trained weights itself"),
    "metrics": ({"build_model": own_metrics}, "compute_metrics"),
}
# What the model says before it is traced, what its callbacks say, and what its trace
# shows. That the table of limits finds each is in tests/unit/engine/test_limits.py.
FOUND_APART = {"embedding", "train_step", "callbacks", "noise"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param(
            *each, id=name, marks=() if name in FOUND_APART else pytest.mark.slow_matrix
        )
        for name, each in NO_ROWS.items()
    ],
)
def test_a_study_that_cannot_be_vectorized_is_trained_all_the_same(fields, reason):
    outcomes = World(plain(1), plain(2, seed=8)).run(
        VectorizedEngine(open_study(definition(**fields)))
    )
    assert [(each.trial_id, each.status) for each in outcomes] == [
        (1, Status.COMPLETE),
        (2, Status.COMPLETE),
    ]
    assert all(
        each.engine != "vectorized" and reason in each.notes[0] for each in outcomes
    )


# What fails in training is held within an epoch below, too.
@pytest.mark.parametrize(
    "place", ["_open", "_join", pytest.param("_train", marks=pytest.mark.slow_matrix)]
)
def test_a_stack_that_fails_leaves_no_trial_out_and_none_with_anothers_seed(
    monkeypatch, place
):
    from lrsearch.engine.stack import Stack

    called, passes = [], getattr(Stack, place)

    def breaks(*arguments):
        called.append(place)
        if place != "_open" or len(called) > 1:  # the first row of two opens
            raise RuntimeError("no such operation")
        return passes(*arguments)

    monkeypatch.setattr(Stack, place, breaks)
    loaded = open_study(definition())
    specs = [plain(number, seed=number) for number in range(5)]
    outcomes = World(*specs).run(VectorizedEngine(loaded, width=2))
    assert_alike(outcomes, World(*specs).run(GraphEngine(loaded)), engine="graph")
    assert len({each.value for each in outcomes}) == len(specs), (
        "every seed has its own masks"
    )
    assert len(called) == (2 if place == "_open" else 1), "the stack is tried once"


def test_more_trials_than_rows_that_no_stack_takes_are_trained_all_the_same():
    specs = [plain(number, seed=number) for number in range(3)]
    engine = VectorizedEngine(open_study(definition(build_model=constrained)), width=2)
    outcomes = World(*specs).run(engine)
    assert [(each.trial_id, each.engine) for each in outcomes] == [
        (number, "graph") for number in range(3)
    ]
    assert all("constraints" in each.notes[0] for each in outcomes)


@pytest.mark.parametrize(
    "place", ["Family", pytest.param("select_rows", marks=pytest.mark.slow_matrix)]
)
def test_timing_that_fails_leaves_no_row_and_no_trial_with_anothers_optimizer(
    monkeypatch, place
):
    from lrsearch.engine import stack

    called, passes = [], getattr(stack, place)

    def breaks(*arguments):
        called.append(place)
        if place == "select_rows" or len(called) == 2:  # the second optimizer's family
            raise MemoryError
        return passes(*arguments)

    loaded = open_study(definition(space=SearchSpace(optimizers=("sgd", "rmsprop"))))
    engine = VectorizedEngine(loaded)
    with monkeypatch.context() as patches:
        patches.setattr(stack, place, breaks)
        assert not engine.time_steps()
    specs = [
        spec(number, setting=setting)
        for number, setting in enumerate(
            reversed(loaded.definition.effective_space().references())
        )
    ]
    assert_alike(World(*specs).run(engine), World(*specs).run(GraphEngine(loaded)))


def test_a_failure_in_the_middle_of_an_epoch_trains_every_row_alone(monkeypatch):
    from lrsearch.engine.stacked import StackedProgram

    def broken(*_):
        raise ValueError("no such operation")

    monkeypatch.setattr(StackedProgram, "end_epoch", broken)
    outcomes = World(plain(1), plain(2, seed=8)).run(
        VectorizedEngine(open_study(definition()))
    )
    assert [(each.trial_id, each.engine, each.status) for each in outcomes] == [
        (1, "graph", Status.COMPLETE), (2, "graph", Status.COMPLETE)
    ]  # fmt: skip
    assert "no such operation" in outcomes[0].notes[0]


def test_rows_train_where_it_is_keras_that_chooses_xla_as_it_does_on_a_gpu(monkeypatch):
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda _model: True)
    engine = VectorizedEngine(open_study(definition()))
    assert model().jit_compile, "as on a GPU"
    [outcome] = World(plain(1)).run(engine)
    assert outcome.engine == "vectorized"


# -- auto ------------------------------------------------------------------------------


def test_auto_measures_once_says_why_and_trains_with_what_it_chose():
    engine = AutoEngine(open_study(definition()))
    figures = engine.calibrate(None)
    assert figures["reason"]
    assert {"graph", "2 rows"} <= set(figures["milliseconds"])
    assert all(value > 0 for value in figures["milliseconds"].values())
    outcomes = World(spec(1), spec(2, seed=8)).run(engine)
    assert {each.engine for each in outcomes} == {figures["engine"]}
    assert all(each.epochs == EPOCHS for each in outcomes)


def test_auto_takes_figures_that_are_known():
    engine = AutoEngine(open_study(definition()))
    engine.calibrate(
        {"engine": "vectorized", "width": 3, "reason": "as before", "milliseconds": {}}
    )
    assert engine.vectorized.width == 3
    [outcome] = World(plain(1)).run(engine)
    assert outcome.engine == "vectorized"


def test_auto_says_why_a_study_trains_one_at_a_time():
    figures = AutoEngine(open_study(definition(build_model=custom_step))).calibrate(
        None
    )
    assert figures["engine"] == "graph"
    assert "train_step" in figures["reason"]
