"""Whose fault an exception is: the study's code fails its trial, whatever it raises;
watch and save leave the engine as they are.
"""

import os
import sys

import keras
import pytest
from engine_world import TRAINING_ENGINES, World, definition, model, spec
from worker_toy import ToyEngine

from lrsearch.engine import create_engine, open_study
from lrsearch.errors import AskedToLeave, StorageUnavailable
from lrsearch.values import Status

pytestmark = pytest.mark.tensorflow


class Unshowable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Bare(BaseException):
    """Neither an Exception nor one of Python's own."""


def raising(error):
    """A function of the study's own that raises."""

    def mine(*_arguments, **_named):
        raise error

    return mine


@pytest.fixture(scope="module")
def engines():
    """They go on after an error of ours, all but the one that holds rows."""
    known = {
        name: create_engine(name, open_study(definition())) for name in ("fit", "graph")
    }
    known["toy"] = ToyEngine({"epochs": 2})
    return lambda name: (
        known[name] if name in known else create_engine(name, open_study(definition()))
    )


# -- the study's -----------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINING_ENGINES)
@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), Bare("bare"), Unshowable()],
    ids=lambda each: type(each).__name__,
)
def test_whatever_build_model_raises_is_a_failed_trial_with_its_traceback(name, error):
    outcomes = World(spec(1), spec(2)).run(
        create_engine(name, open_study(definition(build_model=raising(error))))
    )
    assert [each.status for each in outcomes] == [Status.FAILED] * 2
    for each in outcomes:
        assert each.reason.startswith(type(error).__name__)
        assert "in mine" in each.traceback_text
        assert each.left is isinstance(error, SystemExit | KeyboardInterrupt)


def test_what_build_model_raises_as_engines_are_measured_is_left_to_its_trials():
    engine = create_engine(
        "auto", open_study(definition(build_model=raising(SystemExit(3))))
    )
    assert engine.calibrate(None)["engine"] == "graph"
    [outcome] = World(spec(1)).run(engine)
    assert outcome.reason == "SystemExit: 3"


@pytest.mark.parametrize("name", ["fit", "graph"])
def test_an_exit_of_a_callback_fails_its_trial_once_and_the_next_is_trained(name):
    built = []

    class Leaves(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if len(built) == 1:
                sys.exit("enough")

    def mine():
        built.append(1)
        return [Leaves()]

    first, second = World(spec(1, optimizer="sgd"), spec(2, optimizer="sgd")).run(
        create_engine(name, open_study(definition(callbacks=mine, epochs=1)))
    )
    assert (first.status, first.reason, first.left) == (
        Status.FAILED,
        "SystemExit: enough",
        True,
    )
    assert "on_epoch_end" in first.traceback_text
    assert second.status is Status.COMPLETE


@pytest.mark.parametrize("name", TRAINING_ENGINES)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_a_forked_child_that_leaves_by_an_exit_is_no_second_trainer(name):
    codes = []

    def mine():
        if (child := os.fork()) == 0:
            sys.exit(7)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        raise ValueError("enough of that")

    [outcome] = World(spec(1)).run(
        create_engine(name, open_study(definition(build_model=mine)))
    )
    assert set(codes) == {7}
    assert outcome.reason == "ValueError: enough of that"


# -- ours ------------------------------------------------------------------------------


class Failing(World):
    """Its `watch` or its `save` raises at an epoch's end."""

    def __init__(self, which, error, *specs):
        super().__init__(*specs)
        self.which, self.error = which, error

    def watch(self, progress):
        if self.which == "watch" and progress.epoch_end:
            raise self.error
        return super().watch(progress)

    def save(self, progress, take):
        if self.which == "save":
            raise self.error


@pytest.mark.parametrize("which", ["watch", "save"])
@pytest.mark.parametrize("name", [*TRAINING_ENGINES, "toy"])
def test_what_watch_and_save_raise_leaves_the_engine_as_it_is(engines, name, which):
    error = StorageUnavailable("the database is away")
    with pytest.raises(StorageUnavailable) as raised:
        Failing(which, error, spec(1, optimizer="sgd")).run(engines(name))
    assert raised.value is error


@pytest.mark.parametrize("name", ["fit", "graph"])
def test_the_users_second_ctrl_c_leaves_the_engine_too(engines, name):
    with pytest.raises(AskedToLeave):
        Failing("watch", AskedToLeave(), spec(1, optimizer="sgd")).run(engines(name))


def test_a_snapshot_that_cannot_be_taken_is_not_the_savers_fault():
    class Unsaved(keras.layers.Layer):
        """A state that no snapshot can hold."""

        def call(self, x):
            return x

        @property
        def variables(self):
            if saving:
                raise TypeError("not to be read")
            return super().variables

    saving = []

    def mine():
        made = keras.Sequential([*model().layers, Unsaved()])
        made.compile("adam", "mse", metrics=["mae"])
        return made

    class Saver(World):
        def save(self, progress, take):
            saving.append(1)
            try:
                take()
            finally:
                saving.clear()

    [outcome] = Saver(spec(1)).run(
        create_engine("fit", open_study(definition(build_model=mine)))
    )
    assert outcome.reason == "TypeError: not to be read"


# -- rows ------------------------------------------------------------------------------


def test_a_row_that_cannot_join_leaves_the_others_as_they_were():
    [kept] = [each for each in _snapshots() if each.epoch == 2]
    broken = type(kept)(epoch=2, step=kept.step, arrays={}, meta=kept.meta)
    world = Late(
        spec(1),
        joins=spec(2, optimizer="sgd", schedule="constant", attempt=2, resume=broken),
    )
    outcomes = {
        each.trial_id: each
        for each in world.run(create_engine("vectorized", open_study(definition())))
    }
    assert (outcomes[1].engine, outcomes[1].status, outcomes[1].notes) == (
        "vectorized",
        Status.COMPLETE,
        (),
    )
    assert "trained alone" in outcomes[2].notes[0]


def _snapshots():
    world = World(spec(9), keep=True)
    world.run(create_engine("graph", open_study(definition())))
    return world.snapshots


class Late(World):
    """Hands out one more attempt once the first has trained an epoch."""

    def __init__(self, *specs, joins):
        super().__init__(*specs)
        self.joins = joins

    def source(self):
        if self.specs:
            return self.specs.pop(0)
        if self.ends and self.joins is not None:
            late, self.joins = self.joins, None
            return late
        return None
