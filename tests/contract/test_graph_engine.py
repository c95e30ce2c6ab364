"""The graph engine trains as fit does, many batches a call, and hands over what it cannot carry."""

import keras
import pytest
from engine_world import World, data, definition, model, spec

from lrsearch.engine import create_engine, open_study
from lrsearch.values import Status

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def fit():
    return create_engine("fit", open_study(definition()))


@pytest.fixture(scope="module")
def graph():
    return create_engine("graph", open_study(definition()))


def both(*specs, **fields):
    """Outcomes of the same specs by `graph` and by `fit`."""
    loaded = open_study(definition(**fields))
    return [World(*specs).run(create_engine(name, loaded)) for name in ("graph", "fit")]


def assert_equal(ours, theirs, *, engine="graph"):
    for one, other in zip(ours, theirs, strict=True):
        assert (one.engine, one.status, one.epochs, one.steps) == (engine, other.status, other.epochs, other.steps), one.notes
        assert one.logs == pytest.approx(other.logs, rel=2e-4, abs=1e-6)
        assert one.value == pytest.approx(other.value, rel=2e-4)


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw", "nadam", "schedule_free_adamw", "lamb"])
def test_graph_trains_as_fit_does(graph, fit, optimizer):
    specs = [spec(number, optimizer=optimizer, seed=number, rate=3e-3) for number in (1, 2)]
    assert_equal(World(*specs).run(graph), World(*specs).run(fit))


def test_graph_keeps_one_program_for_all_rates_and_schedules(graph):
    before = len(graph._programs)
    World(*(spec(number, optimizer="adamax", rate=rate) for number, rate in enumerate((1e-3, 1e-2, 3e-2)))).run(graph)
    World(spec(9, optimizer="adamax", schedule="constant")).run(graph)
    assert len(graph._programs) == before + 1
    [program] = [each for key, each in graph._programs.items() if "adamax" in key]
    assert program.traced == 2, "the training and the validation, once each"


def test_graph_trains_yours_under_its_own_schedule():
    def mine():
        made = model()
        made.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.05, 20), momentum=0.9), "mse", metrics=["mae"])
        return made

    assert_equal(*both(spec(yours=True), build_model=mine))


def test_graph_accumulates_clips_averages_and_weighs_classes_as_fit_does():
    def mine():
        made = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")])
        made.compile(keras.optimizers.Adam(1e-2, clipnorm=0.1, use_ema=True), "binary_crossentropy", metrics=["mae"])
        return made

    def classes():
        (x, y), _, _ = data()
        kinds = (y > 0).astype("int32")
        return (x, kinds), (x, kinds), (x, kinds)

    fields = {"build_model": mine, "load_data": classes, "gradient_accumulation_steps": 3, "class_weight": {0: 1.0, 1: 4.0}}
    assert_equal(*both(spec(1, optimizer="momentum"), spec(2, test_split=True), **fields))


def test_a_custom_train_step_is_traced_with_what_it_logs_itself():
    class Custom(keras.Sequential):
        def train_step(self, batch):
            logs = super().train_step(batch)
            return {"loss": logs["loss"], "twice": 2 * logs["loss"]}

    def mine():
        made = Custom([keras.layers.Input((5,)), keras.layers.Dense(1)])
        made.compile("sgd", "mse", metrics=["mae"])
        return made

    assert_equal(*both(spec(), build_model=mine))


def test_an_explicit_jit_compile_is_kept():
    def mine():
        made = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(1)])
        made.compile("sgd", "mse", metrics=["mae"], jit_compile=True)
        return made

    assert_equal(*both(spec(), build_model=mine))


def test_a_checkpoint_of_one_engine_is_resumed_by_the_other(graph, fit):
    for first, second in ((graph, fit), (fit, graph)):
        whole = World(spec(), keep=True)
        [alone] = whole.run(first)
        [again] = World(spec(attempt=2, resume=whole.snapshots[1])).run(second)
        assert again.engine == second.name
        assert again.value == pytest.approx(alone.value, rel=2e-4)


def test_what_graph_cannot_carry_goes_to_fit_with_the_reason():
    engine = create_engine("graph", open_study(definition(callbacks=lambda: [keras.callbacks.Callback()])))
    [outcome] = World(spec()).run(engine)
    assert (outcome.engine, outcome.status) == ("fit", Status.COMPLETE)
    assert "callbacks" in outcome.notes[0]


def test_divergence_in_a_graph_is_noticed_within_a_call(graph):
    [outcome] = World(spec(rate=1e25, optimizer="sgd", schedule="constant")).run(graph)
    assert (outcome.engine, outcome.status, outcome.value) == ("graph", Status.DIVERGED, None)
    assert outcome.steps <= 10
