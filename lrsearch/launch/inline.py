"""Searches a study in this very process, on one device, for notebooks and scripts."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from lrsearch.answer import NOTEBOOK
from lrsearch.errors import AskedToLeave, StudyBroken
from lrsearch.events import Event, Listener
from lrsearch.launch.checking import check_methods
from lrsearch.launch.common_steps import make_worker_config
from lrsearch.launch.creating import create_or_resume, make_plan
from lrsearch.launch.database import open_database
from lrsearch.launch.queueing import add_retests
from lrsearch.messages import Inspection, PoolStarted, WorkerDone, WorkerMessage
from lrsearch.options import MachineOptions, RetestOptions, SearchOptions
from lrsearch.progress.listeners import ignore, protect_training, send_note
from lrsearch.progress.study_watcher import StudyWatcher
from lrsearch.values import StudyRecord, StudyState
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.loading import KerasLoader, StudyLoader
from lrsearch.worker.stopping import StopRequest

if TYPE_CHECKING:
    from lrsearch.definition import StudyDefinition
    from lrsearch.storage import Ledger

SLOT = "here"


def run_inline(
    definition: StudyDefinition | StudyLoader,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    wanted: RetestOptions | None = None,
    listen: Listener = ignore,
) -> StudyRecord:
    """Search `definition` here until its budget is spent.

    A study without a name is named by its definition: the same definition goes on with
    the stored study, and another definition makes another one. `wanted` retests are
    added to a stored study, and only they are trained. Returns the study afterwards.

    Ctrl-C puts the running trial back and raises KeyboardInterrupt; the same call goes
    on later. Raises the errors of `lrsearch.launch.run.run_study`, except those about
    devices.
    """
    from lrsearch.definition import StudyDefinition, check_backend, check_study_name

    check_backend()
    if search.name is not None:
        check_study_name(search.name)
    listen = protect_training(listen)
    config = make_worker_config(machine, study_file=None, overrides=search.overrides)
    config = replace(config, slot=SLOT)
    listen(Event(message=PoolStarted(slots=(SLOT,))))
    loader: StudyLoader = (
        KerasLoader(config, definition)
        if isinstance(definition, StudyDefinition)
        else definition
    )
    loader.prepare()
    inspection = loader.inspect()
    for note in inspection.facts.notes:
        send_note(listen, note)
    check_methods(search, inspection.facts)
    with open_database(machine.url) as ledger:
        name = search.name
        if name is None:
            name = derive_name(inspection, search)
            opens = f'lrsearch.load("{name}") opens it again'
            send_note(
                listen, f"this search is named {name}, by its definition: {opens}"
            )
        plan, resume = make_plan(search, name, None, inspection), wanted is None
        study = create_or_resume(ledger, search, plan, resume=resume, listen=listen)
        trains = True
        if wanted is not None:
            added = add_retests(ledger, study, wanted, listen=listen)
            trains = added.taken.over and added.study.state is StudyState.OPEN
        if trains:
            _train(config, loader, ledger, ledger.study(name), listen)
        study = ledger.study(name)
    if study.state is StudyState.BROKEN:
        fix = "Correct the study's code and search again."
        raise StudyBroken(
            "the first trials all failed alike", fix=fix, traceback_text=study.reason
        )
    return study


def derive_name(inspection: Inspection, search: SearchOptions) -> str:
    """Derive the name of an unnamed study: a digest of the facts that may not change in a study."""
    plan = make_plan(search, "", None, inspection)
    identity = [
        dict(plan.facts.fingerprint),
        plan.sampler,
        plan.pruner,
        plan.seed,
        plan.retries,
    ]
    text = json.dumps(identity, sort_keys=True)
    return f"notebook-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _train(
    config: WorkerConfig,
    loader: StudyLoader,
    ledger: Ledger,
    study: StudyRecord,
    listen: Listener,
) -> None:
    from lrsearch.worker.session import open_session

    watcher = StudyWatcher(ledger, study, listen, ways=NOTEBOOK)
    watcher.begin()

    def send(message: WorkerMessage) -> None:
        event = Event(message=message, slot=SLOT)
        watcher.handle(event)
        listen(event)
        watcher.look()

    stop = StopRequest()
    with open_session(config, ledger, study, loader, stop=stop, send=send) as session:
        with _delay_interrupt(stop) as interrupted:
            reason = session.train()
        send(WorkerDone(reason=reason))
        watcher.end()
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def _delay_interrupt(stop: StopRequest) -> Iterator[threading.Event]:
    """Let the first Ctrl-C ask training to stop, and the second one end it at once.

    Yields an event that the first Ctrl-C sets.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        if came.is_set():
            raise AskedToLeave
        came.set()
        stop.stop("interrupted")

    old: Any = signal.signal(signal.SIGINT, handle)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, old)
