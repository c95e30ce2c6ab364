"""The model to take home: Keras loads it without a warning, with the state of its optimizer."""

import warnings

import keras
import numpy as np
import pytest

from lrsearch.engine._keras_optimizer import current_rate, inner
from lrsearch.engine.final_training import _save


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


def state_of(model):
    """The steps that were done, and all else that the optimizer keeps of them."""
    optimizer = inner(model.optimizer)
    kept = [
        each for each in optimizer.variables[1:] if "learning_rate" not in each.path
    ]
    momenta = np.concatenate([each.numpy().ravel() for each in kept])
    return {"steps": optimizer.iterations.numpy(), "momenta": momenta}
