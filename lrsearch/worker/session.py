"""One worker's session on one study: open it, train its trials, leave.

Worker processes and notebooks do the same.

    with open_session(config, ledger, study, loader, stop=stop, send=send) as session:
        reason = session.train()
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lrsearch.errors import LrSearchError
from lrsearch.events import Send
from lrsearch.machine import hardware
from lrsearch.messages import EngineReady, Note, Working
from lrsearch.storage import Done, PlanRetests, Wait
from lrsearch.values import StudyRecord
from lrsearch.version import versions
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.heartbeat import Heartbeat
from lrsearch.worker.loading import StudyLoader
from lrsearch.worker.stopping import StopRequest
from lrsearch.worker.trial_session import TrialSession

if TYPE_CHECKING:
    from lrsearch.engine.contract import Engine
    from lrsearch.storage import Ledger

_LAPSED = 1.1  # leases after which the trial of a worker that died waits for another


@contextmanager
def open_session(
    config: WorkerConfig,
    ledger: Ledger,
    study: StudyRecord,
    loader: StudyLoader,
    *,
    stop: StopRequest,
    send: Send,
) -> Iterator[StudySession]:
    """Load the study, enter this worker in the ledger, and renew its leases until the end."""
    space, engine = loader.open(study)
    calibrate_engine(config, ledger, study, engine, send=send)
    worker_id = ledger.add_worker(
        study.id,
        host=config.host,
        pid=os.getpid(),
        slot=config.slot,
        versions=versions() | hardware(),
    )
    # Before anything else can fail: the parent closes the entry of a worker that dies.
    send(Working(worker=worker_id))
    try:
        with Heartbeat(
            partial(
                ledger.renew_leases,
                worker_id=worker_id,
                lease_seconds=config.lease_seconds,
            ),
            stop,
            lease_seconds=config.lease_seconds,
            report=lambda text: send(Note(text=text)),
        ) as heartbeat:
            trials = TrialSession(
                config, ledger, study, space,
                worker_id=worker_id, heartbeat=heartbeat, stop=stop, send=send,
            )  # fmt: skip
            yield StudySession(
                trials=trials,
                engine=engine,
                stop=stop,
                lease_seconds=config.lease_seconds,
            )
    finally:
        with suppress(LrSearchError):
            ledger.worker_seen(worker_id, "gone")


def calibrate_engine(
    config: WorkerConfig,
    ledger: Ledger,
    study: StudyRecord,
    engine: Engine,
    *,
    send: Send,
) -> None:
    """Give the engine the study's figures for this machine; the first worker measures them."""
    machine = f"{config.host}/{config.slot.partition(':')[0]}/{config.threads or 'all'}"
    known = ledger.calibration(study.id, machine)
    figures = engine.calibrate(known)
    send(EngineReady(figures=figures or engine.time_steps()))
    if known is not None or not figures:
        return
    if ledger.note_calibration(study.id, machine, dict(figures)):
        send(Note(text=str(figures["reason"])))
    else:
        # Another worker was quicker: all workers of a machine use the same figures.
        engine.calibrate(ledger.calibration(study.id, machine))


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySession:
    """An open study: its trials, and the engine that trains them."""

    trials: TrialSession
    engine: Engine
    stop: StopRequest
    lease_seconds: float

    def train(self, *, until: str = "done") -> str:
        """Train trials until the budget is spent or the worker must stop; returns the reason.

        `until` "idle" ends the session also where others still train and nothing is
        left for this worker now; "unneeded", where that has been so for longer than a
        lease.

        An exception from the engine ends the session, too. Where this worker was asked
        to stop, an exit puts its attempts back. Any other exception is the engine's own
        fault: the lease lapses, so that the attempt counts as lost and is not tried for
        ever.
        """
        trials, since = self.trials, time.monotonic()
        patience = self._patience(until)
        try:
            while True:
                for outcome in self.engine.train(
                    trials.claim, trials.watch, trials.save
                ):
                    trials.tell(outcome)
                    since = time.monotonic()
                match trials.answer:
                    case Done(reason):
                        return reason
                    case PlanRetests():
                        trials.plan_retests(trials.answer)
                    case Wait() if time.monotonic() - since >= patience:
                        return "nothing to train now"
                    case Wait(seconds):
                        self.stop.rest(seconds)
        except (KeyboardInterrupt, SystemExit):
            if self.stop.comes_within_a_moment():
                trials.abandon("interrupted")
            raise

    def _patience(self, until: str) -> float:
        """Seconds without anything to train after which the worker leaves."""
        needless = self.lease_seconds * _LAPSED
        return {"done": math.inf, "idle": 0.0, "unneeded": needless}[until]
