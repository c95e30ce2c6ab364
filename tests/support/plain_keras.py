"""A small study without shuffling, and what plain Keras makes of it: `model.fit`, and
nothing of the engines.
"""

import keras
import numpy as np
import pytest
from engine_world import World, definition
from keras import tree

from lrsearch.engine import LoadedStudy, create_engine, inspect_study, open_study
from lrsearch.space import build_optimizer
from lrsearch.values import Status

layers = keras.layers

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 5)).astype("float32")  # at batches of 8: five a epoch
Y = (X[:, :1] * 2 - X[:, 1:2]).astype("float32")


def split(x, y, *more):
    """A load_data for these arrays: the first 24 are trained on, the rest validates."""

    def cut(part, where):
        if part is None:
            return None
        return (
            {name: cut(each, where) for name, each in part.items()}
            if isinstance(part, dict)
            else part[where]
        )

    parts = (x, y, *more)
    return lambda: tuple(
        tuple(cut(each, where) for each in parts)
        for where in (slice(24), slice(24, None))
    )


def dense(
    metrics=tuple,
    loss="mse",
    units=1,
    optimizer=lambda: keras.optimizers.Adam(1e-2),
    **compiled,
):
    def build_model():
        model = keras.Sequential(
            [layers.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(units)]
        )
        model.compile(optimizer(), loss, metrics=list(metrics()), **compiled)
        return model

    return build_model


def study(**changes):
    known = {
        "objective": "val_loss",
        "epochs": 3,
        "shuffle": False,
        "build_model": dense(),
        "load_data": split(X, Y),
    }
    return definition(**(known | changes))


def inspected(changed):
    """The study as a worker that inspected it trains it, and its facts."""
    loaded = LoadedStudy(definition=changed)
    facts = inspect_study(changed, loaded=loaded)
    return open_study(changed, loaded=loaded, facts=facts), facts


def trained(changed, *specs, engine="fit"):
    loaded, _ = inspected(changed)
    return World(*specs).run(create_engine(engine, loaded))


def assert_plain(outcome, history):
    assert outcome.status is Status.COMPLETE, (outcome.reason, outcome.traceback_text)
    assert outcome.logs == pytest.approx(last_of(history), rel=1e-4, abs=1e-6), (
        outcome.notes
    )


def plain_fit(study, spec, *, callbacks=(), adapt=lambda split: split):
    """The history of one `fit` under the trial's seed; yours keeps its own optimizer.

    The study must not shuffle.

    `adapt` changes what `load_data` returned for forms that Keras refuses.
    """
    assert not study.shuffle
    train, validation = (
        adapt(each) for each in study.read_data(spec.setting.batch_size)[:2]
    )
    keras.utils.set_random_seed(spec.seed)
    model = study.make_model(spec.setting.extra)
    if not spec.yours:
        examples = len(tree.flatten(train)[0])
        total = study.epochs * -(-examples // spec.setting.batch_size)
        model.optimizer = build_optimizer(
            spec.setting, total, 1, carried={}, model=model
        )
    x, y, weight = (*train, None)[:3]
    options = {
        "batch_size": spec.setting.batch_size,
        "epochs": study.epochs,
        "shuffle": False,
        "verbose": 0,
    }
    fitted = model.fit(
        x,
        y,
        sample_weight=weight,
        validation_data=validation,
        callbacks=list(callbacks),
        **options,
    )
    return model, {
        name: [float(each) for each in values]
        for name, values in fitted.history.items()
    }


def last_of(history):
    return {name: values[-1] for name, values in history.items()}
