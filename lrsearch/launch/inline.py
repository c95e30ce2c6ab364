"""A study searched in this very process, on one device: for notebooks and scripts.

No process is started.
"""

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
from lrsearch.launch.checking import check_methods
from lrsearch.launch.creating import create_or_resume, new_plan
from lrsearch.launch.database import ledger_at
from lrsearch.launch.retests import add_retests
from lrsearch.launch.starting import worker_config
from lrsearch.messages import (
    Event,
    Inspection,
    Listener,
    Note,
    PoolStarted,
    WorkerDone,
    WorkerMessage,
)
from lrsearch.options import MachineOptions, RetestOptions, SearchOptions
from lrsearch.progress.listeners import silent, to_all
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
    listen: Listener = silent,
) -> StudyRecord:
    """Search `definition` here until its budget is spent; returns the study as it stands then.

    Without a name it has one that follows from its identity: the same definition goes on where it
    stood, another one is another study. Where retests are `wanted`, they are added to a study that
    is there, and they alone are trained.

    Ctrl-C puts the running trial back and raises KeyboardInterrupt; the same call goes on later.
    Raises what `lrsearch.launch.run.run_study` raises, devices aside.
    """
    from lrsearch.definition import StudyDefinition, check_backend, check_study_name

    check_backend()
    if search.name is not None:
        check_study_name(search.name)
    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    config = worker_config(machine, study_file=None, overrides=search.overrides)
    config = replace(config, slot=SLOT)
    listen(Event(message=PoolStarted(slots=(SLOT,))))
    loader: StudyLoader = (
        KerasLoader(config, definition) if isinstance(definition, StudyDefinition) else definition
    )
    loader.prepare()
    found = loader.inspect()
    for note in found.facts.notes:
        listen(Event(message=Note(text=note)))
    check_methods(search, found.facts)
    with ledger_at(machine.url) as ledger:
        name = search.name or _say_name(own_name(found, search), listen)
        plan, resume = new_plan(search, name, None, found), wanted is None
        study = create_or_resume(ledger, search, plan, resume=resume, listen=listen)
        if wanted is None or _add(ledger, study, wanted, listen):
            _train(config, loader, ledger, ledger.study(name), listen)
        study = ledger.study(name)
    if study.state is StudyState.BROKEN:
        raise StudyBroken("the first trials all failed alike", traceback_text=study.reason)
    return study


def own_name(found: Inspection, search: SearchOptions) -> str:
    """The name of a study that was given none: a digest of all that one study cannot have two of."""
    plan = new_plan(search, "", None, found)
    identity = [dict(plan.facts.fingerprint), plan.sampler, plan.pruner, plan.seed, plan.retries]
    return (
        f"notebook-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]}"
    )


def _say_name(name: str, listen: Listener) -> str:
    text = f'this search is named {name}, by its definition: lrsearch.load("{name}") opens it again'
    listen(Event(message=Note(text=text)))
    return name


def _add(ledger: Ledger, study: StudyRecord, wanted: RetestOptions, listen: Listener) -> bool:
    """Add retests; whether they are to be trained now."""
    added = add_retests(ledger, study, wanted, listen=listen)
    return added.taken.over and added.study.state is StudyState.OPEN


def _train(
    config: WorkerConfig, loader: StudyLoader, ledger: Ledger, study: StudyRecord, listen: Listener
) -> None:
    from lrsearch.worker.session import open_session

    watcher = StudyWatcher(ledger, study, listen, ways=NOTEBOOK)
    watcher.begin()

    def say(message: WorkerMessage) -> None:
        said = Event(message=message, slot=SLOT)
        watcher.hear(said)
        listen(said)
        watcher.look()

    stop = StopRequest()
    with open_session(config, ledger, study, loader, stop=stop, say=say) as session:
        with _first_interrupt(stop) as interrupted:
            reason = session.train()
        say(WorkerDone(reason=reason))
        watcher.end()
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def _first_interrupt(stop: StopRequest) -> Iterator[threading.Event]:
    """Let the first Ctrl-C ask politely; the second raises KeyboardInterrupt as ever.

    Yields what tells whether one came.
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
