"""When training counts as diverged: the pure rule, and both engines on a classifier
whose loss saturates.
"""

import json
import math

import keras
import numpy as np
import pytest
from engine_world import World, definition, spec

from lrsearch.engine import create_engine, open_study
from lrsearch.engine.divergence import DivergenceRule
from lrsearch.values import Status

pytestmark = pytest.mark.tensorflow

NOISE = np.random.default_rng(0)


def told(*epochs, rule=None):
    """The rule after these epochs of batch losses, and the first thing that it said."""
    rule, said = rule or DivergenceRule(), ""
    for losses in epochs:
        rule.new_epoch()
        means = np.cumsum(losses) / np.arange(1, len(losses) + 1)
        said = said or next(
            (
                why
                for n, mean in enumerate(means, 1)
                if (why := rule.check(float(mean), n))
            ),
            "",
        )
    return rule, said


def at_end(*epochs, **more):
    rule, said = told(*epochs, **more)
    assert said == ""
    return rule.at_end()


def near(level, *, by=0.05, batches=20):
    return level + by * NOISE.uniform(-1, 1, batches)


def test_a_loss_that_rose_and_stays_at_chance_has_diverged_and_the_reason_says_how():
    why = at_end([2.30, 2.31, 14.3, 5.0, *near(2.4)], near(2.31))
    assert (
        why
        == "the loss rose to 14.3 at batch 3 and ended at 2.31, no better than the start's 2.3"
    )


def test_a_loss_that_rose_and_stays_far_above_its_start_has_diverged():
    assert "ended at 4" in at_end([2.3, 60.0, *near(40, by=20)], near(42, by=20))


@pytest.mark.parametrize(
    ("what", "epochs"),
    [
        ("crawls", [near(2.3), near(2.3)]),
        ("learns", [near(2.0, by=0.3), near(0.5)]),
        (
            "overshoots in its warm-up and recovers",
            [[2.3, 6.0, 24.0, *near(3.0)], near(1.5, by=0.2)],
        ),
        (
            "overshoots, and has begun to recover",
            [[2.3, 6.0, 24.0, *near(3.0)], [*near(2.2), *near(1.9)]],
        ),
        ("has a handful of batches", [[0.14, 0.48], [0.47, 0.48]]),
        ("is negative", [near(-1.0), near(-1.0)]),
        ("begins at zero", [[0.0, 5.0, *near(1.0)], near(1.0)]),
        ("ends at zero", [[2.3, 9.0, *near(1.0)], np.zeros(20)]),
    ],
)
def test_a_loss_that_did_not_both_overshoot_and_stay_there_has_not_diverged(
    what, epochs
):
    assert at_end(*epochs) == "", what


def test_a_first_batch_that_is_low_by_luck_makes_no_noisy_run_diverged():
    heavy = np.random.default_rng(1)
    for seed in range(50):
        # noise of a regression on a few examples a batch
        first = [0.2, *heavy.standard_t(2.5, 199) ** 2]
        assert at_end(first, heavy.permutation(first) * 0.9) == "", seed


def test_it_goes_on_within_an_epoch_as_if_it_had_not_been_stopped():
    first, second = [2.30, 2.31, 14.3, 5.0, *near(2.4)], near(2.31)
    whole, _ = told(first, second)
    means = np.cumsum(second) / np.arange(1, len(second) + 1)
    for cut in (1, 7, len(second)):
        before, _ = told(first, second[:cut])
        after = DivergenceRule()
        after.resume(json.loads(json.dumps(before.state())))
        assert [
            after.check(float(mean), n) for n, mean in enumerate(means, 1) if n > cut
        ] == [""] * (len(second) - cut)
        assert after.at_end() == whole.at_end() != ""
        assert after.state() == whole.state()


def test_bad_batches_in_a_row_are_counted_over_an_interruption():
    before, said = told([1.0, *[5000.0] * 4])
    assert said == ""
    after = DivergenceRule()
    after.resume(json.loads(json.dumps(before.state())))
    assert "rose to" in after.check(float(np.mean([1.0, *[5000.0] * 5])), 6)


def test_it_goes_on_from_a_checkpoint_and_without_one_that_it_knows_it_says_nothing():
    before, _ = told([2.3, 14.3, *near(2.4)])
    after = DivergenceRule()
    after.resume(json.loads(json.dumps(before.state())))
    assert "14.3 at batch 2" in at_end(near(2.31), rule=after)
    ancient = DivergenceRule()
    ancient.resume(None)
    assert at_end(near(2.31), rule=ancient) == ""
    silent = DivergenceRule()
    silent.resume(json.loads(json.dumps(DivergenceRule().state())))
    assert silent.at_end() == ""


# -- in the engines --------------------------------------------------------------------


def classes():
    random = np.random.default_rng(0)
    y = random.integers(0, 4, 240).astype("int32")
    x = (
        np.eye(4)[y] @ random.normal(size=(4, 6)) + random.normal(size=(240, 6))
    ).astype("float32")
    return (x[:160], y[:160]), (x[160:], y[160:])


def classifier():
    layers = keras.layers
    made = keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(32, "relu"),
            layers.Dense(32, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


@pytest.fixture(scope="module", params=["fit", "graph"])
def engine(request):
    study = definition(
        objective="val_accuracy",
        epochs=5,
        batch_size=16,
        build_model=classifier,
        load_data=classes,
    )
    return create_engine(request.param, open_study(study))


def setting(number, rate, **more):
    return spec(number, rate=rate, optimizer="adagrad", schedule="linear", **more)


@pytest.fixture(scope="module")
def far_too_high(engine):
    """A run at a far too high rate; trained once an engine."""
    world = World(setting(1, 5.0), keep=True)
    [world.outcome] = world.run(engine)
    return world


def test_a_classifier_at_a_far_too_high_rate_has_diverged_and_one_that_crawls_or_learns_has_not(
    engine, far_too_high
):
    high = far_too_high.outcome
    low, good = World(setting(2, 1e-6), setting(3, 0.1)).run(engine)
    assert (high.status, low.status, good.status) == (
        Status.DIVERGED,
        Status.COMPLETE,
        Status.COMPLETE,
    )
    assert high.value is None
    assert high.epochs == 5
    assert "no better than the start's" in high.reason
    assert good.logs["loss"] < 0.7 * low.logs["loss"]


def test_an_overshoot_before_an_interruption_is_remembered_after_it(
    engine, far_too_high
):
    whole, kept = far_too_high.outcome, far_too_high.snapshots[2]
    [resumed] = World(setting(1, 5.0, attempt=2, resume=kept)).run(engine)
    assert (whole.status, resumed.status) == (Status.DIVERGED, Status.DIVERGED)
    assert resumed.reason == whole.reason
    assert math.isfinite(resumed.logs["loss"])
