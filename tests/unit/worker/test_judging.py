"""Who is pruned at a rung, and by whose values: a real ledger, and a session that is
told of progress.
"""

import itertools
import math

import pytest
from ledger_tools import add_worker, claim, facts, finish, plan, trial_session

from lrsearch.sampling.learned_stopping import is_control
from lrsearch.space import SHAPES
from lrsearch.storage import open_ledger
from lrsearch.values import (
    SPARED,
    CurvePoint,
    Origin,
    Outcome,
    Progress,
    Setting,
    Status,
    TrialState,
    Verdict,
)

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
    opened = open_ledger(
        f"sqlite:///{tmp_path_factory.mktemp('judging')}/toy.db", create=True
    )
    yield opened
    opened.close()


@pytest.fixture
def verdict_on(ledger, tmp_path):
    """Asks a median rule about a trial with `mine`, the worst value at `epoch`, among
    six others of the same setting `theirs`.
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
                ledger,
                held,
                value=0.9,
                points=[point(each, 0.9) for each in range(1, EPOCHS + 1)],
            )
        trials, _heartbeat = trial_session(
            ledger, study, tmp_path / "checkpoints", worker=worker
        )
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
        assert (
            judged_from == 1 or verdict_on(mine, epoch=judged_from - 1) is Verdict.KEEP
        )
        assert verdict_on(mine, epoch=judged_from) is Verdict.PRUNE


def test_values_before_a_rise_is_over_prune_nobody(verdict_on):
    mine = shaped("linear")
    assert (
        verdict_on(mine, epoch=3, theirs=shaped("one_cycle", rise=0.3)) is Verdict.KEEP
    )
    assert (
        verdict_on(mine, epoch=4, theirs=shaped("one_cycle", rise=0.3)) is Verdict.PRUNE
    )
    assert verdict_on(mine, epoch=9, theirs=shaped("cosine_restarts")) is Verdict.KEEP


def test_yours_is_compared_with_only_where_its_rate_is_constant(verdict_on):
    mine = shaped("linear")
    assert verdict_on(mine, epoch=4, origin=Origin.YOURS) is Verdict.PRUNE
    assert (
        verdict_on(mine, epoch=4, origin=Origin.YOURS, theirs=shaped("cosine"))
        is Verdict.KEEP
    ), "it may warm up"


FULL = 18  # runs that ended as they began: the first one best


@pytest.fixture
def learned(ledger, tmp_path):
    """A study that learns to stop, with eighteen full runs, and a session that trains the next."""
    made = itertools.count()

    def learned(*, seed, origin=Origin.SAMPLED, mine=None):
        mine = mine or shaped("linear")
        first = (*[(Origin.SAMPLED, shaped("linear"))] * FULL, (origin, mine))
        study = ledger.create_study(
            plan(
                name=f"{tmp_path.name}-{next(made)}",
                trials=FULL + 1,
                retest_seeds=0,
                facts=facts(epochs=EPOCHS),
                pruner="auto",
                seed=seed,
                first=first,
            )
        )
        worker = add_worker(ledger, study)
        for number in range(FULL):
            held, value = claim(ledger, study, worker), 0.9 - number / 100
            points = [point(epoch, value) for epoch in range(1, EPOCHS + 1)]
            assert finish(ledger, held, value=value, points=points)
        trials, _heartbeat = trial_session(
            ledger, study, tmp_path / "checkpoints", worker=worker
        )
        return study, trials, trials.claim()

    return learned


def reached(spec, epoch, value):
    return Progress(
        trial_id=spec.trial_id, attempt=spec.attempt, epoch=epoch, epochs=EPOCHS, step=epoch * 10, total_steps=100,
        rate=0.1, seconds=1.0, logs={"val_accuracy": value}, value=value,
    )  # fmt: skip


def seed_where(control):
    """A study's seed under which the trial after the full runs is a control, or none."""
    return next(seed for seed in itertools.count() if is_control(seed, FULL) is control)


def test_what_no_good_run_ever_looked_like_is_stopped_at_a_rung_and_only_there(learned):
    _, trials, spec = learned(seed=seed_where(control=False))
    assert trials.watch(reached(spec, 1, 0.895)) is Verdict.KEEP  # among the best
    assert trials.watch(reached(spec, 4, 0.1)) is Verdict.KEEP  # rungs are 1, 2, 3, 5
    assert trials.watch(reached(spec, 5, 0.1)) is Verdict.PRUNE


@pytest.mark.parametrize("origin", [Origin.YOURS, Origin.REFERENCE])
def test_yours_and_references_run_to_their_end(learned, origin):
    _, trials, spec = learned(seed=seed_where(control=False), origin=origin)
    assert trials.watch(reached(spec, 5, 0.1)) is Verdict.KEEP


def test_a_cyclic_shape_is_never_judged(learned):
    _, trials, spec = learned(seed=seed_where(control=False), mine=shaped("cyclic"))
    assert trials.watch(reached(spec, 5, 0.1)) is Verdict.KEEP


def test_a_value_that_is_not_a_number_is_left_to_run(learned):
    _, trials, spec = learned(seed=seed_where(control=False))
    assert trials.watch(reached(spec, 3, 0.1)) is Verdict.PRUNE
    assert trials.watch(reached(spec, 5, math.nan)) is Verdict.KEEP
    assert trials.watch(reached(spec, 5, -math.inf)) is Verdict.KEEP


def test_a_control_runs_on_and_what_the_rule_would_have_done_is_noted(learned, ledger):
    study, trials, spec = learned(seed=seed_where(control=True))
    assert trials.watch(reached(spec, 2, 0.1)) is Verdict.KEEP
    assert trials.watch(reached(spec, 5, 0.1)) is Verdict.KEEP
    end = {"status": Status.COMPLETE, "engine": "toy", "value": 0.1, "epochs": EPOCHS}
    trials.tell(Outcome(trial_id=spec.trial_id, attempt=spec.attempt, **end))
    control = ledger.trials(study.id)[FULL]
    assert (control.state, control.notes) == (TrialState.COMPLETE, (f"{SPARED}2",))


def test_whoever_asks_gets_the_same_verdict_whether_the_trial_is_written_or_not(
    learned, ledger
):
    """The trial's own row counts once: the first question writes the row, the second finds it."""
    _, trials, spec = learned(seed=seed_where(control=False))
    again = [trials.watch(reached(spec, 5, 0.845)) for _ in range(3)]
    assert len(set(again)) == 1
