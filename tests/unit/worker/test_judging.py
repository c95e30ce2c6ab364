"""Who is pruned at a rung, and by whose values: a real ledger, and a session that is told of
progress.
"""

import itertools

import pytest
from ledger_tools import add_worker, claim, facts, finish, plan, trial_session

from lrsearch.space import SHAPES
from lrsearch.storage import open_ledger
from lrsearch.values import CurvePoint, Origin, Progress, Setting, Verdict

EPOCHS = 10


def shaped(schedule, **shape):
    knobs = {name: knob.default for name, knob in SHAPES[schedule].knobs.items()}
    return Setting(
        optimizer="adam",
        learning_rate=1e-2,
        schedule=schedule,
        batch_size=None,
        shape={**knobs, **shape},
    )


def point(epoch, value):
    return CurvePoint(
        epoch=epoch,
        step=epoch * 10,
        rate=0.1,
        seconds=0.1,
        value=value,
        logs={"val_accuracy": value},
    )


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    opened = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('judging')}/toy.db", create=True)
    yield opened
    opened.close()


@pytest.fixture
def verdict_on(ledger, tmp_path):
    """Asks a median rule about a trial with `mine`, the worst value at `epoch`, among six others of
    the same setting `theirs`.
    """
    made = itertools.count()

    def ask(mine, *, epoch, theirs=None, origin=Origin.SAMPLED):
        others = [(origin, theirs or shaped("constant"))] * 6
        study = ledger.create_study(
            plan(
                name=f"{tmp_path.name}-{next(made)}",
                trials=7,
                facts=facts(epochs=EPOCHS),
                pruner="median",
                first=(*others, (Origin.SAMPLED, mine)),
            )
        )
        worker = add_worker(ledger, study)
        for _ in others:
            held = claim(ledger, study, worker)
            assert finish(
                ledger, held, value=0.9, points=[point(each, 0.9) for each in range(1, EPOCHS + 1)]
            )
        trials, _heartbeat = trial_session(ledger, study, tmp_path / "checkpoints", worker=worker)
        spec = trials.claim()
        progress = Progress(
            trial_id=spec.trial_id, attempt=spec.attempt, epoch=epoch, epochs=EPOCHS, step=epoch * 10, total_steps=100,
            rate=0.1, seconds=1.0, logs={"val_accuracy": 0.1}, value=0.1,
        )  # fmt: skip
        return trials.watch(progress)

    return ask


@pytest.mark.parametrize(
    ("schedule", "shape", "judged_from"),
    [
        ("linear", {}, 1),
        ("linear", {"warmup": 0.2}, 3),
        ("step", {"warmup": 0.1}, 2),
        ("one_cycle", {"rise": 0.3}, 4),
        ("one_cycle", {"rise": 0.5}, 6),
        ("cyclic", {}, None),
        ("cosine_restarts", {}, None),
    ],
)
def test_no_trial_is_pruned_before_its_rate_has_risen_for_the_last_time(
    verdict_on, schedule, shape, judged_from
):
    mine = shaped(schedule, **shape)
    if judged_from is None:
        assert verdict_on(mine, epoch=EPOCHS - 1) is Verdict.KEEP
    else:
        assert judged_from == 1 or verdict_on(mine, epoch=judged_from - 1) is Verdict.KEEP
        assert verdict_on(mine, epoch=judged_from) is Verdict.PRUNE


def test_values_before_a_rise_is_over_prune_nobody(verdict_on):
    mine = shaped("linear")
    assert verdict_on(mine, epoch=3, theirs=shaped("one_cycle", rise=0.3)) is Verdict.KEEP
    assert verdict_on(mine, epoch=4, theirs=shaped("one_cycle", rise=0.3)) is Verdict.PRUNE
    assert verdict_on(mine, epoch=9, theirs=shaped("cosine_restarts")) is Verdict.KEEP


def test_yours_is_compared_with_only_where_its_rate_is_constant(verdict_on):
    mine = shaped("linear")
    assert verdict_on(mine, epoch=4, origin=Origin.YOURS) is Verdict.PRUNE
    assert (
        verdict_on(mine, epoch=4, origin=Origin.YOURS, theirs=shaped("cosine")) is Verdict.KEEP
    ), "it may warm up"
