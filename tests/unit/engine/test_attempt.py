"""An attempt's books: what they tell, when they stop an attempt, what a snapshot and an outcome hold."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow")
from lrsearch.engine import attempt as module
from lrsearch.engine.attempt import Attempt, Plan, Stop
from lrsearch.engine.blame import Observer
from lrsearch.values import Direction, Setting, Snapshot, Status, TrialSpec, Verdict

SPEC = TrialSpec(
    trial_id=7,
    attempt=2,
    label="trial 7",
    setting=Setting(
        optimizer="adam", learning_rate=0.1, schedule="constant", batch_size=None
    ),
    seed=3,
)
PLAN = Plan(
    objective="val_loss",
    direction=Direction.MINIMIZE,
    best_epoch_counts=False,
    epochs=3,
    steps_per_epoch=4,
    accumulation=2,
    total_steps=6,
    rate=lambda update: 0.1 * (update + 1),
    fill=lambda place: replace(place, arrays={"filled": True}),
)


class Told:
    """Keeps what an observer hears; its verdict is KEEP unless a test says another."""

    def __init__(self, verdict=Verdict.KEEP):
        self.verdict, self.progress, self.snapshots = verdict, [], []
        self.observer = Observer(watch=self.watch, save=self.save)

    def watch(self, progress):
        self.progress.append(progress)
        return self.verdict

    def save(self, progress, take):
        self.snapshots.append(take())


@pytest.fixture(autouse=True)
def _every_look_is_due(monkeypatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.0)


def begun(told=None, spec=SPEC, **changes):
    attempt = Attempt(spec, engine="toy", observer=(told or Told()).observer)
    attempt.begin(replace(PLAN, **changes))
    return attempt


def train_epoch(attempt, loss=1.0, **logs):
    attempt.begin_epoch()
    for done in range(1, 5):
        attempt.count(done, loss)
    attempt.end_epoch({"loss": loss, "val_loss": loss, **logs})


def stop_of(action):
    with pytest.raises(Stop) as caught:
        action()
    return caught.value


def test_an_attempt_that_comes_to_its_end_has_the_last_epochs_value_and_remembers_its_best():
    attempt = begun()
    for loss in (1.0, 0.4, 0.6):
        train_epoch(attempt, loss)
    outcome = attempt.conclude(Status.COMPLETE)
    assert (outcome.value, outcome.best_value, outcome.best_epoch) == (0.6, 0.4, 2)
    assert (outcome.epochs, outcome.steps, outcome.engine) == (3, 6, "toy")
    assert outcome.logs["val_loss"] == 0.6


def test_the_best_epoch_counts_where_the_study_says_so():
    attempt = begun(best_epoch_counts=True, direction=Direction.MAXIMIZE)
    for value in (0.5, 0.9, 0.7):
        train_epoch(attempt, val_loss=value)
    assert attempt.conclude(Status.COMPLETE).value == 0.9


def test_progress_tells_of_updates_and_of_the_rate_of_the_last_one():
    told = Told()
    attempt = begun(told)
    attempt.begin_epoch()
    attempt.count(3, 1.0)
    attempt.look(3, {"loss": 1.0})
    train_epoch(begun(told))
    within, end = told.progress
    assert (within.step, within.batch, within.rate, within.logs) == (1, 3, 0.1, {})
    assert (end.epoch, end.step, end.batch, end.value) == (1, 2, 0, 1.0)
    assert end.epoch_end


def test_where_the_schedule_ends_in_no_number_the_rate_is_that_of_the_last_update():
    told = Told()
    attempt = begun(told, rate=lambda update: math.nan)
    attempt.begin_epoch()
    attempt.count(4, 1.0)
    attempt._rates.enter(0, np.asarray([0.4, 0.3, 0.2, 0.1]))
    attempt.end_epoch({"loss": 1.0, "val_loss": 1.0})
    assert told.progress[-1].rate == 0.1


@pytest.mark.parametrize(
    ("verdict", "status", "saved"),
    [
        (Verdict.PRUNE, Status.PRUNED, 0),
        (Verdict.INTERRUPT, Status.INTERRUPTED, 1),
        (Verdict.LOST, Status.LOST, 0),
    ],
)
def test_a_verdict_is_obeyed_at_once_and_only_what_goes_on_later_is_saved(
    verdict, status, saved
):
    told = Told(verdict)
    attempt = begun(told)
    stop = stop_of(lambda: train_epoch(attempt))
    assert stop.status is status
    assert len(told.snapshots) == saved
    outcome = attempt.conclude(stop.status, stop.reason)
    assert outcome.value == (1.0 if status is Status.PRUNED else None)
    assert outcome.last_value == 1.0


def test_the_last_epoch_and_a_diverged_one_are_not_saved():
    told = Told()
    attempt = begun(told)
    for _ in range(3):
        train_epoch(attempt)
    assert [each.epoch for each in told.snapshots] == [1, 2]
    other = begun(told)
    assert (
        stop_of(lambda: train_epoch(other, val_loss=float("nan"))).status
        is Status.DIVERGED
    )
    assert len(told.snapshots) == 2


def test_nothing_is_saved_within_an_epoch_once_a_callback_has_ended_the_training():
    told = Told()
    attempt = begun(told, stopping=lambda: True)
    attempt.begin_epoch()
    attempt.look(2, {})
    assert told.progress
    assert not told.snapshots


def test_a_loss_that_is_no_number_ends_the_attempt_at_its_batch():
    attempt = begun()
    attempt.begin_epoch()
    attempt.count(1, 1.0)
    stop = stop_of(lambda: attempt.count(2, float("nan")))
    assert (stop.status, stop.reason) == (
        Status.DIVERGED,
        "the loss became NaN, at update 1 of 6",
    )


def test_an_objective_that_is_not_finite_leaves_a_complete_attempt_without_a_value():
    attempt = begun(objective="auc")
    for _ in range(3):
        train_epoch(attempt, auc=float("nan"))
    outcome = attempt.conclude(Status.COMPLETE)
    assert outcome.value is None
    assert outcome.reason == "no value: auc was not finite after epoch 3"


def test_an_objective_that_the_epoch_did_not_log_is_an_error_that_names_what_it_logged():
    with pytest.raises(KeyError, match=r"auc.*loss, val_loss"):
        train_epoch(begun(objective="auc"))


def test_logs_that_are_no_numbers_are_left_out_and_noted_once():
    attempt = begun()
    for _ in range(2):
        train_epoch(attempt, matrix=[[1, 2], [3, 4]])
    assert set(attempt.logs) == {"loss", "val_loss"}
    assert attempt.notes == ("not kept, since it is no number: matrix",)


def test_a_snapshot_within_an_epoch_is_gone_on_from_at_its_batch():
    told = Told()
    attempt = begun(told)
    train_epoch(attempt, 0.5)
    attempt.begin_epoch()
    for done in (1, 2, 3):
        attempt.count(done, 0.4)
    attempt.look(3, {"loss": 0.4, "accuracy": 0.9})
    taken = told.snapshots[-1]
    assert (taken.epoch, taken.batch, taken.step, taken.arrays) == (
        1,
        3,
        3,
        {"filled": True},
    )
    again = begun(told, spec=replace(SPEC, resume=taken))
    assert again.begin_epoch() is taken
    assert (again.batch, again.batch_logs) == (3, {"loss": 0.4, "accuracy": 0.9})
    again.count(4, 0.4)
    attempt.count(4, 0.4)
    for each in (again, attempt):
        each.end_epoch({"loss": 0.4, "val_loss": 0.6})
    assert told.snapshots[-1] == told.snapshots[-2]
    assert again.begin_epoch() is None, "only the first epoch goes on within"
    assert again.batch == 0


def test_an_engine_without_snapshots_within_epochs_offers_the_last_epochs_end():
    told = Told()
    attempt = begun(told, within=False)
    train_epoch(attempt)
    attempt.begin_epoch()
    attempt.count(2, 9.0)
    attempt.look(2, {"loss": 9.0})
    end, within = told.snapshots
    assert within.place == end.place == told.progress[-1].place == (1, 0)
    assert within.meta["batches"] == end.meta["batches"] == 4


def test_a_snapshot_in_a_validation_stands_after_all_batches_of_the_epoch():
    told = Told()
    attempt = begun(told)
    attempt.begin_epoch()
    attempt.count(3, 1.0)
    attempt.begin_validation()
    attempt.look(attempt.batch, attempt.batch_logs)
    assert told.snapshots[-1].place == (0, 4)


def test_weights_that_a_callback_put_back_are_judged_by_their_own_epoch():
    attempt = begun()
    for loss in (0.3, 0.5, 0.4):
        train_epoch(attempt, loss)
    attempt.judge_epoch(1)
    outcome = attempt.conclude(Status.COMPLETE, "judged at epoch 1")
    assert (outcome.value, outcome.logs["loss"], outcome.reason) == (
        0.3,
        0.3,
        "judged at epoch 1",
    )


def test_an_attempt_that_fails_before_its_model_is_built_has_an_outcome_all_the_same():
    attempt = Attempt(SPEC, engine="toy", notes=("trained alone",))
    outcome = attempt.fail("ValueError: no", "Traceback ...", left=False)
    assert (outcome.status, outcome.steps, outcome.notes) == (
        Status.FAILED,
        0,
        ("trained alone",),
    )
    assert (outcome.trial_id, outcome.attempt) == (7, 2)


def test_a_checkpoint_of_0_1_0_which_knows_no_divergence_rule_is_gone_on_from():
    meta = {"batches": 4, "best_value": 0.5, "best_epoch": 1}
    resume = Snapshot(epoch=1, step=2, arrays={}, meta=meta)
    attempt = begun(spec=replace(SPEC, resume=resume))
    for _ in range(2):
        train_epoch(attempt)
    outcome = attempt.conclude(Status.COMPLETE)
    assert (outcome.epochs, outcome.steps, outcome.best_value) == (3, 6, 0.5)
