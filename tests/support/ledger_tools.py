"""A plan, and a trial's way through a ledger, without training."""

import math

from lrsearch.space import SearchSpace
from lrsearch.storage import CheckpointRecord, Claim
from lrsearch.values import (
    Direction,
    Origin,
    Outcome,
    Setting,
    Status,
    StudyFacts,
    StudyPlan,
)

SPACE = SearchSpace(optimizers=("sgd", "adam"), schedules=("constant", "linear"))
OPTIMUM = 0.01


def setting(rate=OPTIMUM, optimizer="adam"):
    return Setting(
        optimizer=optimizer,
        learning_rate=rate,
        schedule="constant",
        batch_size=None,
        shape={"warmup": 0.0},
    )


def checkpoint(epoch=1, batch=0, attempt=1):
    """A checkpoint as a worker enters it in the manifest, without its file."""
    path = f"p{epoch}-{batch}"
    return CheckpointRecord(
        attempt=attempt, epoch=epoch, batch=batch, path=path, sha256="0" * 64, size=10
    )


def facts(**changes):
    known = {
        "objective": "val_accuracy",
        "direction": Direction.MAXIMIZE,
        "metrics": ("loss", "val_accuracy"),
        "epochs": 3,
        "accumulation": 1,
        "steps_per_epoch": {"None": 10},
        "train_examples": 100,
        "validation_examples": 10,
        "has_test": False,
        "parameters": 10,
        "yours": setting(0.001),
        "exact_order": True,
        "fingerprint": {"toy": 1},
        "versions": {"lrsearch": "0"},
    }
    return StudyFacts(**(known | changes))


def plan(
    *,
    name="toy",
    trials=10,
    timeout_seconds=None,
    retest_seeds=3,
    retries=2,
    fingerprint=None,
    **changes,
):
    known = {
        "study_file": "toy.py",
        "overrides": {},
        "dimensions": tuple(each.to_json() for each in SPACE.public_dimensions()),
        "sampler": "random",
        "pruner": "none",
        "seed": 0,
        "first": (
            (Origin.YOURS, setting(0.001)),
            (Origin.REFERENCE, setting(0.1, "sgd")),
        ),
    }
    given = changes.pop("facts", None) or (
        facts() if fingerprint is None else facts(fingerprint=fingerprint)
    )
    return StudyPlan(
        name=name, facts=given, trials=trials, timeout_seconds=timeout_seconds, retest_seeds=retest_seeds, retries=retries,
        **(known | changes),
    )  # fmt: skip


def add_worker(ledger, study, *, host="here", slot="cpu:0"):
    return ledger.add_worker(
        study.id, host=host, pid=1, slot=slot, versions={"lrsearch": "0"}
    )


def claim(ledger, study, worker, *, lease_seconds=60.0):
    """Claim a trial and bind it; there must be one."""
    claimed = ledger.claim(study.id, worker, lease_seconds=lease_seconds)
    assert isinstance(claimed, Claim), claimed
    chosen = claimed.trial.setting or setting(
        OPTIMUM * 2.0 ** (claimed.trial.number - 4)
    )
    assert ledger.bind(
        claimed.trial.id,
        claimed.attempt,
        setting=chosen,
        params=SPACE.public_params(chosen),
        seed=claimed.trial.number,
    )
    return claimed


def outcome(claimed, *, value=0.5, status=Status.COMPLETE, epochs=3):
    return Outcome(
        trial_id=claimed.trial.id, attempt=claimed.attempt, status=status, engine="toy", value=value, last_value=value,
        best_value=value, epochs=epochs, steps=epochs * 10, seconds=0.1,
    )  # fmt: skip


def finish(ledger, claimed, *, points=(), **says):
    return ledger.finish(outcome(claimed, **says), points)


def train(ledger, study, worker):
    """Train until nothing is left; returns the numbers of what was trained."""
    done = []
    while isinstance(
        claimed := ledger.claim(study.id, worker, lease_seconds=60.0), Claim
    ):
        chosen = claimed.trial.setting or setting(
            OPTIMUM * 2.0 ** (claimed.trial.number - 4)
        )
        params = SPACE.public_params(chosen)
        ledger.bind(
            claimed.trial.id,
            claimed.attempt,
            setting=chosen,
            params=params,
            seed=claimed.trial.seed or claimed.trial.number,
        )
        value = 1 - abs(math.log(chosen.learning_rate / OPTIMUM)) / 10
        assert finish(ledger, claimed, value=value)
        done.append(claimed.trial.number)
    return done


def trial_session(
    ledger, study, folder, *, worker, stop=None, send=lambda _message: None
):
    """What a worker gives its engine, and its heartbeat, which renews nothing."""
    from lrsearch.worker.config import WorkerConfig
    from lrsearch.worker.heartbeat import Heartbeat
    from lrsearch.worker.stopping import StopRequest
    from lrsearch.worker.trial_session import TrialSession

    stop = stop or StopRequest()
    config = WorkerConfig(storage="", study_file=None, checkpoints=str(folder))
    heartbeat = Heartbeat(lambda _holds: None, stop, lease_seconds=60.0)
    return TrialSession(
        config,
        ledger,
        study,
        SPACE,
        worker_id=worker,
        heartbeat=heartbeat,
        stop=stop,
        send=send,
    ), heartbeat
