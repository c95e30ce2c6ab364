"""Strangers' models are searched with nothing changed but the study file: one
definition each, trained in this process.
"""

import importlib.util
import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import pytest
import tensorflow as tf

import lrsearch
from lrsearch import SearchSpace, StudyDefinition
from lrsearch.errors import (
    EnvironmentProblem,
    InvalidValue,
    StudyFileError,
    UnknownName,
)
from lrsearch.values import Origin, TrialState

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
layers = keras.layers
# beside yours one more model to trace
# rates at which every stranger trains
SPACE = SearchSpace(
    optimizers=["momentum"], schedules=["linear"], learning_rate=(1e-4, 1e-2)
)
# No model of the two trials is asked: other tests hold what it proposes.
SEARCHED = {"retest": 0, "quiet": True, "sampler": "random"}


def points(count=60, width=4, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, width)).astype("float32")
    return x, (x[:, :1] > 0).astype("float32")


def search(tmp_path, monkeypatch, build_model, load_data, *, engine="graph", **fields):
    """By `graph`, which hands on what it cannot train: timing rows first, as `auto`
    does, would take half of the time, and tests/contract has rows of such models.
    """
    monkeypatch.chdir(tmp_path)
    known = {"objective": "val_loss", "epochs": 2, "batch_size": 16, "space": SPACE}
    definition = StudyDefinition(
        build_model=build_model, load_data=load_data, **(known | fields)
    )
    return lrsearch.search(definition, **SEARCHED, trials=2, engine=engine)


def assert_all_trained(result, count=2):
    states = [(each.state, each.reason) for each in result.records]
    assert [state for state, _ in states] == [TrialState.COMPLETE] * count, states
    assert result.records[0].origin is Origin.YOURS
    return result


def dense(inputs=4, **compile_with):
    model = keras.Sequential(
        [layers.Input((inputs,)), layers.Dense(8, "relu"), layers.Dense(1, "sigmoid")]
    )
    if compile_with:
        model.compile(**compile_with)
    return model


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Searches a study of two trials: yours, and one that is searched."""
    return lambda build, load, **fields: assert_all_trained(
        search(tmp_path, monkeypatch, build, load, **fields)
    )


def test_several_inputs_and_outputs_with_losses_weights_and_metrics_by_name(run):
    def build():
        one, two = layers.Input((4,), name="one"), layers.Input((2,), name="two")
        joined = layers.Concatenate()([layers.Dense(8, "relu")(one), two])
        kind = layers.Dense(1, "sigmoid", name="kind")(joined)
        size = layers.Dense(1, name="size")(joined)
        model = keras.Model({"one": one, "two": two}, {"kind": kind, "size": size})
        model.compile(
            "adam",
            {"kind": "binary_crossentropy", "size": "mse"},
            loss_weights={"kind": 1.0, "size": 0.5},
            metrics={"kind": ["accuracy"]},
        )
        return model

    def load():
        x, y = points()
        given = ({"one": x, "two": x[:, :2]}, {"kind": y, "size": x[:, 1:2]})
        return given, given

    result = run(build, load, objective="val_kind_accuracy")
    assert result.answer.direction == "maximize"


def test_a_subclass_with_a_train_step_of_its_own(run):
    class Doubled(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = layers.Dense(8, "relu"), layers.Dense(1)
            self.tracked = keras.metrics.Mean(name="doubled")

        def call(self, x):
            return self.out(self.hidden(x))

        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = 2 * keras.ops.mean(keras.ops.square(self(x, training=True) - y))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(
                zip(gradients, self.trainable_weights, strict=True)
            )
            self.tracked.update_state(loss)
            return {"loss": loss, "doubled": self.tracked.result()}

        def test_step(self, batch):
            x, y = batch
            return {
                "loss": keras.ops.mean(keras.ops.square(self(x, training=False) - y))
            }

        @property
        def metrics(self):
            return [self.tracked]

    def build():
        model = Doubled()
        model.compile("sgd")
        return model

    run(build, lambda: (points(), points(seed=1)))


def test_a_batched_dataset_and_one_that_asks_for_the_batch_size(run):
    def build():
        return dense(optimizer="adam", loss="binary_crossentropy")

    def load():
        return tuple(
            tf.data.Dataset.from_tensor_slices(points(seed=seed)).batch(16)
            for seed in (0, 1)
        )

    result = run(build, load, batch_size=None)
    assert not result.study.plan.facts.exact_order
    assert result.records[1].setting.batch_size is None


def test_a_dataset_that_is_batched_for_each_size_searched(run):
    def load(batch_size):
        return tuple(
            tf.data.Dataset.from_tensor_slices(points(seed=seed)).batch(batch_size)
            for seed in (0, 1)
        )

    result = run(
        lambda: dense(optimizer="adam", loss="binary_crossentropy"),
        load,
        batch_size=[10, 20],
    )
    assert result.study.plan.facts.steps_per_epoch == {"10": 6, "20": 3}


def test_an_endless_dataset_needs_steps_and_gets_them(tmp_path, monkeypatch):
    def load():
        train = tf.data.Dataset.from_tensor_slices(points()).repeat().batch(16)
        return train, points(seed=1)

    def build():
        return dense(optimizer="adam", loss="binary_crossentropy")

    with pytest.raises(InvalidValue, match="steps_per_epoch"):
        search(tmp_path, monkeypatch, build, load, batch_size=None)
    result = search(
        tmp_path, monkeypatch, build, load, batch_size=None, steps_per_epoch=5
    )
    assert assert_all_trained(result).records[0].steps == 10


def test_a_pydataset(run):
    class Batches(keras.utils.PyDataset):
        def __init__(self, seed):
            super().__init__()
            self.x, self.y = points(seed=seed)

        def __len__(self):
            return 4

        def __getitem__(self, index):
            part = slice(index * 15, (index + 1) * 15)
            return self.x[part], self.y[part]

    run(
        lambda: dense(optimizer="adam", loss="binary_crossentropy"),
        lambda: (Batches(0), Batches(1)),
        batch_size=None,
    )


def test_pretrained_frozen_and_adapted_layers_survive(run):
    pretrained = np.full((4, 8), 0.25, "float32")
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            frozen = self.model.get_layer("frozen")
            scale = self.model.get_layer("scale")
            seen.append(
                (
                    frozen.trainable,
                    frozen.get_weights()[0].copy(),
                    scale.mean.numpy().copy(),
                )
            )

    def build():
        scale = layers.Normalization(name="scale")
        scale.adapt(points()[0] + 5)
        frozen = layers.Dense(8, "relu", name="frozen")
        model = keras.Sequential(
            [layers.Input((4,)), scale, frozen, layers.Dense(1, "sigmoid")]
        )
        frozen.set_weights([pretrained, np.zeros(8, "float32")])
        frozen.trainable = False
        model.compile("adam", "binary_crossentropy")
        return model

    run(build, lambda: (points(), points(seed=1)), callbacks=lambda: [Look()])
    assert len(seen) == 2
    for trainable, weights, mean in seen:
        assert not trainable
        assert np.array_equal(weights, pretrained)
        assert mean == pytest.approx(
            points()[0].mean(axis=0, keepdims=True) + 5, abs=1e-4
        )


def test_sample_and_class_weights_a_lambda_loss_and_searched_parameters(run):
    def build(params):
        model = keras.Sequential(
            [
                layers.Input((4,)),
                layers.Dropout(params["dropout"]),
                layers.Dense(1, "sigmoid"),
            ]
        )
        model.compile("adam", lambda y, p: keras.ops.mean(keras.ops.square(y - p)))
        return model

    def load():
        x, y = points()
        return (x, y[:, 0].astype("int32"), np.linspace(0.5, 1.5, len(x))), (
            x,
            y[:, 0].astype("int32"),
        )

    space = SearchSpace(
        optimizers=["adam"],
        schedules=["cosine"],
        extra={"dropout": (0.0, 0.5), "kind": ["a", "b"]},
    )
    result = run(build, load, space=space)
    assert 0.0 <= result.records[-1].setting.extra["dropout"] <= 0.5


@pytest.mark.slow_matrix  # every engine has them in tests/contract
def test_class_weights(run):
    run(
        lambda: dense(optimizer="adam", loss="binary_crossentropy"),
        lambda: (points(), points(seed=1)),
        class_weight={0: 1.0, 1: 3.0},
    )


def test_an_uncompiled_model_takes_loss_and_metrics_from_the_definition(run):
    result = run(
        dense,
        lambda: (points(), points(seed=1)),
        loss="binary_crossentropy",
        metrics=["accuracy"],
        objective="val_accuracy",
    )
    assert result.records[0].setting.optimizer == "adam"
    assert result.records[0].setting.learning_rate == pytest.approx(1e-3)


# -- refusals --------------------------------------------------------------------------


class OwnCompile(keras.Sequential):
    def compile(self, *arguments, **options):
        super().compile(*arguments, **options)


class TwoOptimizers(keras.Sequential):
    def compile_two(self):
        self.second = keras.optimizers.SGD()
        self.compile("adam", "mse")
        return self


REFUSED = {
    "compile of its own": (
        lambda: _compiled(OwnCompile([layers.Input((4,)), layers.Dense(1)])),
        "compile",
    ),
    "two optimizers": (
        lambda: TwoOptimizers([layers.Input((4,)), layers.Dense(1)]).compile_two(),
        "optimizer",
    ),
    "uncompiled without a loss": (dense, "loss"),
    "no model": (lambda: 3, "keras.Model"),
}


def _compiled(model):
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_whose_rate_cannot_be_searched_is_refused(tmp_path, monkeypatch, name):
    build, words = REFUSED[name]
    with pytest.raises(InvalidValue, match=words):
        search(tmp_path, monkeypatch, build, lambda: (points(), points()))
    assert not list(tmp_path.glob("*.db"))


def test_code_that_fails_on_the_real_step_is_shown_with_its_own_traceback(
    tmp_path, monkeypatch
):
    def build():
        return dense(inputs=7, optimizer="adam", loss="mse")

    with pytest.raises(StudyFileError, match="own code failed"):
        search(tmp_path, monkeypatch, build, lambda: (points(), points()))


def test_an_objective_without_a_known_direction_needs_one(tmp_path, monkeypatch):
    def build():
        def odd(y, p):
            return keras.ops.mean(y * p)

        return dense(optimizer="adam", loss="mse", metrics=[odd])

    with pytest.raises(InvalidValue, match="direction"):
        search(
            tmp_path,
            monkeypatch,
            build,
            lambda: (points(), points()),
            objective="val_odd",
        )
    result = search(
        tmp_path,
        monkeypatch,
        build,
        lambda: (points(), points()),
        objective="val_odd",
        direction="maximize",
    )
    assert_all_trained(result)


def test_a_sampler_that_cannot_run_here_is_refused_before_there_is_a_study(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    known = {
        "build_model": lambda: dense(optimizer="adam", loss="mse"),
        "load_data": lambda: (points(), points()),
    }
    definition = StudyDefinition(**known, objective="val_loss", epochs=1, batch_size=16)
    with pytest.raises(EnvironmentProblem, match="PyTorch"):
        lrsearch.search(definition, sampler="gp", quiet=True)
    with pytest.raises(UnknownName, match="'tpe'"):
        lrsearch.search(definition, sampler="tp", quiet=True)
    with pytest.raises(UnknownName, match="'asha'"):
        lrsearch.search(definition, pruner="ash", quiet=True)
    assert not list(tmp_path.iterdir())


# -- the notebook's own ----------------------------------------------------------------


def test_search_gives_a_result_that_a_notebook_can_show(run, tmp_path):
    result = run(
        lambda: dense(optimizer="adam", loss="mse", metrics=["mae"]),
        lambda: (points(), points(seed=1)),
    )
    assert list(result.trials["optimizer"]) == ["adam", "momentum"]
    assert result.trials.index.tolist() == [0, 1]
    assert result.best.value == min(each.value for each in result.records)
    assert result.yours.trial == 0
    assert "yours" in repr(result)
    assert "def make_optimizer(model=None):" in result.export()
    for figure in (result.plot_rates(), result.plot_schedules(), result.plot_curves()):
        figure.savefig(tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 5000


def test_searching_again_goes_on_where_it_stood(tmp_path, monkeypatch):
    def build():
        return dense(optimizer="adam", loss="mse")

    def load():
        return points(), points(seed=1)

    first = search(tmp_path, monkeypatch, build, load)
    definition = StudyDefinition(
        build_model=build,
        load_data=load,
        objective="val_loss",
        epochs=2,
        batch_size=16,
        space=SPACE,
    )
    second = lrsearch.search(definition, **SEARCHED, trials=3, engine="graph")
    assert len(second.records) == 3
    assert [each.value for each in second.records[:2]] == [
        each.value for each in first.records
    ]
