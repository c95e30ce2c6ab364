"""The model to take home: Keras loads it without a warning, with the state of its optimizer."""

import warnings

import keras
import numpy as np
import pytest
from engine_world import spec

from lrsearch import StudyDefinition
from lrsearch.engine import inspect_study, open_study
from lrsearch.engine._keras_optimizer import current_rate, inner
from lrsearch.engine.final_training import (
    _check_savable,
    _save,
    _tell_lost_exclusions,
    _write,
    train_and_save,
)
from lrsearch.errors import InvalidValue
from lrsearch.values import Verdict


@pytest.mark.parametrize(
    "make",
    [
        keras.optimizers.AdamW,
        lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        keras.optimizers.Adafactor,  # its variables share their names
        lambda rate: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate)),
    ],
    ids=["adamw", "momentum", "adafactor", "loss_scale"],
)
def test_a_saved_model_goes_on_with_the_state_and_the_last_rate_of_its_optimizer(
    make, tmp_path
):
    layers = [keras.layers.Input((4,)), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile(make(keras.optimizers.schedules.CosineDecay(0.01, 100)), "mse")
    x = np.random.default_rng(0).random((32, 4), "float32")
    model.fit(x, x[:, :2], epochs=1, batch_size=8, verbose=0)
    before, rate = state_of(model), current_rate(inner(model.optimizer))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert _save(model, tmp_path / "model.keras") == ""
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert before["momenta"].any()
    for name, values in before.items():
        np.testing.assert_array_equal(values, state_of(loaded)[name])
    assert current_rate(inner(loaded.optimizer)) == pytest.approx(rate)


class Own(keras.Model):
    """Takes an argument that it does not write down, as many subclassed models do."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def test_a_model_that_keras_cannot_save_is_refused_before_it_is_trained(tmp_path):
    with pytest.raises(InvalidValue) as caught:
        _check_savable(Own(keras.layers.Dense(2)), tmp_path / "model.keras")
    assert "get_config()" in str(caught.value)
    assert f"--output {tmp_path / 'model.weights.h5'}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_weights_of_a_model_that_keras_cannot_save_are_written(tmp_path):
    x = np.ones((3, 4), "float32")
    trained, fresh = Own(keras.layers.Dense(2)), Own(keras.layers.Dense(2))
    fresh(x)
    expected = trained(x)
    assert _save(trained, tmp_path / "model.weights.h5") == ""
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh(x), expected)
    assert [each.name for each in tmp_path.iterdir()] == ["model.weights.h5"]


def averaging():
    layers = [keras.layers.Input((4,)), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), "mse")
    return model


def ten_rows():
    x = np.random.default_rng(0).random((10, 4), "float32")
    return (x, x[:, :2]), (x, x[:, :2])


def test_a_moving_average_in_the_saved_model_is_told_with_its_own_value(tmp_path):
    definition = StudyDefinition(
        build_model=averaging, load_data=ten_rows, objective="val_loss", epochs=1
    )
    facts = inspect_study(definition)
    assert any("SwapEMAWeights" in each for each in facts.notes)
    outcome, problem = train_and_save(
        open_study(definition, facts=facts),
        spec(yours=True),
        tmp_path / "model.keras",
        watch=lambda _progress: Verdict.KEEP,
    )
    (x, y), _ = ten_rows()
    kept = keras.saving.load_model(tmp_path / "model.keras").evaluate(x, y, verbose=0)
    assert problem == ""
    assert f"val_loss is {kept:.4g} there" in outcome.notes[-1]
    assert outcome.value != pytest.approx(kept)


def state_of(model):
    """The steps that were done, and all else that the optimizer keeps of them."""
    optimizer = inner(model.optimizer)
    kept = [
        each for each in optimizer.variables[1:] if "learning_rate" not in each.path
    ]
    momenta = np.concatenate([each.numpy().ravel() for each in kept])
    return {"steps": optimizer.iterations.numpy(), "momenta": momenta}


def test_what_a_file_forgets_of_the_weight_decay_is_said():
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.AdamW(1e-3)
    model.compile(optimizer, "mse")
    assert not [*_tell_lost_exclusions(model)]
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    [note] = _tell_lost_exclusions(model)
    assert "call exclude_from_weight_decay" in note


def test_a_file_that_cannot_be_written_is_no_fault_of_the_model(tmp_path):
    def write(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InvalidValue) as caught:
        _write(tmp_path / "model.weights.h5", write)
    assert "No space left on device" in str(caught.value)
    assert "weights.h5.weights.h5" not in str(caught.value)
    assert not [*tmp_path.iterdir()]
