"""Every optimizer with every shape: Keras trains with it, counts right, and uses our rates."""

import json
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import lrsearch.keras
from lrsearch.space import (
    OPTIMIZERS,
    SHAPES,
    SearchSpace,
    build_optimizer,
    build_schedule,
    output_layers,
    rates,
)
from lrsearch.values import Setting

pytestmark = pytest.mark.tensorflow

SPACE = SearchSpace(optimizers=list(OPTIMIZERS), schedules=list(SHAPES))
PEAKS = {each.optimizer: each.learning_rate for each in SPACE.references()}


def setting(optimizer="adam", schedule="linear", **shape):
    knobs = {name: knob.default for name, knob in SHAPES[schedule].knobs.items()}
    hyper = {name: knob.default for name, knob in OPTIMIZERS[optimizer].hyper.items()}
    return Setting(
        optimizer=optimizer,
        learning_rate=PEAKS[optimizer],
        schedule=schedule,
        batch_size=4,
        shape={**knobs, **shape},
        hyper=hyper,
    )


def variables():
    return [
        keras.Variable(np.full((4, 3), 0.5, "float32"), name="kernel"),
        keras.Variable(np.zeros(3, "float32"), name="bias"),
    ]


def numpy(variable):
    return keras.ops.convert_to_numpy(variable)


GRADIENTS = [np.full((4, 3), 0.1, "float32"), np.full(3, -0.2, "float32")]


@pytest.mark.parametrize("schedule", sorted(SHAPES))
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_two_updates_move_the_weights_at_the_schedules_rates(optimizer, schedule):
    chosen = setting(optimizer, schedule, warmup=0.5)
    expected = rates(chosen, 4)
    for accumulation in (1, 2):
        made, weights = build_optimizer(chosen, 4, accumulation), variables()
        made.build(weights)
        for batch in range(2 * accumulation):
            wanted = expected[batch // accumulation]
            assert float(made.learning_rate) == pytest.approx(
                wanted, abs=1e-6 * chosen.learning_rate
            )
            made.apply(GRADIENTS, weights)
        assert int(made.iterations) == 2, "updates, not batches"
        assert not np.allclose(numpy(weights[0]), 0.5, atol=1e-9)
        assert np.isfinite(numpy(weights[0])).all()


@pytest.mark.parametrize("schedule", sorted(SHAPES))
@pytest.mark.parametrize("total", [7, 1_000_003])
def test_rates_agree_with_the_reference_to_a_millionth_of_the_peak(schedule, total):
    chosen = setting("adam", schedule, warmup=0.1, final=0.05)
    places = np.unique(np.linspace(0, total - 1, 40).astype(int))
    made = build_schedule(chosen, total)
    got = np.array([float(made(place)) for place in places])
    assert (
        np.abs(got - rates(chosen, total)[places]).max() <= 1e-6 * chosen.learning_rate
    )


@pytest.mark.parametrize("schedule", sorted(SHAPES))
def test_a_schedule_survives_serialisation(schedule):
    made = build_schedule(setting("adam", schedule, warmup=0.1), 50, 2)
    text = json.dumps(keras.saving.serialize_keras_object(made))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert isinstance(again, lrsearch.keras.Schedule)
    assert float(again(9)) == float(made(9))


def test_under_accumulation_the_schedule_counts_updates_and_not_batches():
    chosen = setting("sgd", "linear")
    made, weights = build_optimizer(chosen, 3, 4), variables()
    made.build(weights)
    seen = []
    for _ in range(12):
        seen.append(float(made.learning_rate))
        made.apply(GRADIENTS, weights)
    assert seen == pytest.approx(np.repeat(rates(chosen, 3), 4), rel=1e-6)
    assert numpy(weights[0]) == pytest.approx(
        0.5 - 0.1 * rates(chosen, 3).sum(), rel=1e-5
    )


def test_an_independent_decay_shrinks_by_its_own_fraction_whatever_the_peak():
    for peak in (1e-3, 1e-1):
        chosen = Setting(
            optimizer="sgd",
            learning_rate=peak,
            schedule="constant",
            batch_size=4,
            hyper={"independent_weight_decay": 0.01},
        )
        made, weights = build_optimizer(chosen, 10), variables()
        made.build(weights)
        made.apply([np.zeros((4, 3), "float32"), np.zeros(3, "float32")], weights)
        assert numpy(weights[0]) == pytest.approx(0.5 * 0.99, rel=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    sorted(name for name, row in OPTIMIZERS.items() if "weight_decay" in row.hyper),
)
def test_a_decay_of_zero_is_none_whatever_keras_would_take(optimizer):
    chosen = replace(setting(optimizer), hyper={"weight_decay": 0.0})
    assert not build_optimizer(chosen, 10).weight_decay


def test_muon_leaves_the_output_layer_to_adam():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8, name="hidden_1"),
            layers.Dense(3, name="hidden_11"),
        ]
    )
    made = build_optimizer(setting("muon"), 4, model=model)
    made.build(model.trainable_variables)
    by_adam = {
        variable.path.split("/")[-2]
        for variable in model.trainable_variables
        if made._should_use_adamw(variable)
    }
    kernels = [
        each for each in model.trainable_variables if each.path.endswith("kernel")
    ]
    assert [made._should_use_adamw(each) for each in kernels] == [False, True]
    assert "hidden_11" in by_adam


@pytest.mark.parametrize("last", [[], ["activation"], ["activation", "dropout"]])
def test_muon_leaves_the_last_weights_out_also_where_layers_without_any_come_after_them(
    last,
):
    layers = keras.layers
    made = {
        "activation": lambda: layers.Activation("softmax"),
        "dropout": lambda: layers.Dropout(0.1),
    }
    after = [made[name]() for name in last]
    hidden = [
        layers.Input((4,)),
        layers.Dense(8, name="hidden"),
        layers.Dense(3, name="answer"),
        *after,
    ]
    assert output_layers(keras.Sequential(hidden)) == ["(^|/)answer/"]
    assert output_layers(keras.Sequential(hidden[1:])) == ["(^|/)answer/"], (
        "before its data has built it"
    )


def test_muon_leaves_every_output_out_and_looks_into_models():
    layers = keras.layers
    inputs = keras.Input((4,))
    inner = keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(4, name="inside"),
            layers.Dense(4, name="inside_last"),
        ]
    )
    outputs = [
        layers.Dense(1, name="size")(inner(inputs)),
        inner(layers.Dense(4, name="before")(inputs)),
    ]
    assert output_layers(keras.Model(inputs, outputs)) == [
        "(^|/)inside_last/",
        "(^|/)size/",
    ]


def test_what_is_carried_from_the_users_optimizer_reaches_ours():
    made = build_optimizer(
        setting("lion"),
        4,
        carried={"clipnorm": 1.0, "use_ema": True, "ema_momentum": 0.9},
    )
    assert (made.clipnorm, made.use_ema, made.ema_momentum) == (1.0, True, 0.9)


@pytest.mark.slow
def test_a_saved_model_loads_where_lrsearch_keras_is_imported(tmp_path):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(build_optimizer(setting("adam", "cosine"), 10), "mse")
    model.save(tmp_path / "model.keras")
    code = (
        "import sys, keras, lrsearch.keras\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print(type(model.optimizer._learning_rate).__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == "lrsearch.space._keras"
