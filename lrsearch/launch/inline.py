"""A study searched in this very process, on one device: for notebooks and scripts.

No process is started.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lrsearch.answer import NOTEBOOK
from lrsearch.errors import AskedToLeave, StudyBroken
from lrsearch.launch.events import silent, to_all
from lrsearch.launch.parent import Watcher, checkpoint_root, opened
from lrsearch.launch.request import Request, check_methods, create_or_resume
from lrsearch.messages import (
    Event,
    Inspection,
    Listener,
    Note,
    PoolStarted,
    WorkerDone,
    WorkerMessage,
)
from lrsearch.values import StudyRecord, StudyState
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.loading import KerasLoader, StudyLoader
from lrsearch.worker.stopping import StopRequest

if TYPE_CHECKING:
    from lrsearch.definition import StudyDefinition
    from lrsearch.launch.retesting import RetestWish
    from lrsearch.storage import Ledger

SLOT = "here"


def run_inline(
    definition: StudyDefinition | StudyLoader,
    *,
    name: str | None = None,
    request: Request | None = None,
    storage: str | None = None,
    engine: str = "auto",
    checkpoints: str | Path | None = None,
    checkpoint_every: float | None = None,
    checkpoint_quota: int | None = None,
    wish: RetestWish | None = None,
    listen: Listener = silent,
) -> StudyRecord:
    """Search `definition` here until its budget is spent; returns the study as it stands then.

    Without a name it has one that follows from its identity: the same definition goes on where it
    stood, another one is another study. With a `wish` retests are added to a study that is there,
    and they alone are trained.

    Ctrl-C puts the running trial back and raises KeyboardInterrupt; the same call goes on later.
    Raises what `lrsearch.launch.run_study` raises, devices aside.
    """
    from lrsearch.definition import StudyDefinition, check_backend, check_study_name
    from lrsearch.storage import resolve_url

    check_backend()
    if name is not None:
        check_study_name(name)
    request = request or Request()
    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    url = resolve_url(storage, os.environ)
    config = WorkerConfig(
        storage=url,
        study_file=None,
        checkpoints=str(checkpoint_root(checkpoints, url)),
        overrides=request.overrides,
        slot=SLOT,
        engine=engine,
        checkpoint_seconds=checkpoint_every or 60.0,
        checkpoint_quota_bytes=checkpoint_quota,
    )
    listen(Event(message=PoolStarted(slots=(SLOT,))))
    loader: StudyLoader = (
        KerasLoader(config, definition) if isinstance(definition, StudyDefinition) else definition
    )
    loader.prepare()
    found = loader.inspect()
    for note in found.facts.notes:
        listen(Event(message=Note(text=note)))
    check_methods(request, found.facts)
    with opened(url) as ledger:
        name = name or _say_name(own_name(found, request), listen)
        study = create_or_resume(
            ledger, request, name, None, found, resume=wish is None, listen=listen
        )
        if wish is None or _add(ledger, study, wish, listen):
            _train(config, loader, ledger, ledger.study(name), listen)
        study = ledger.study(name)
    if study.state is StudyState.BROKEN:
        raise StudyBroken("the first trials all failed alike", traceback_text=study.reason)
    return study


def own_name(found: Inspection, request: Request) -> str:
    """The name of a study that was given none: a digest of all that one study cannot have two of."""
    plan = request.plan("", None, found)
    identity = [dict(plan.facts.fingerprint), plan.sampler, plan.pruner, plan.seed, plan.retries]
    return (
        f"notebook-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]}"
    )


def _say_name(name: str, listen: Listener) -> str:
    text = f'this search is named {name}, by its definition: lrsearch.load("{name}") opens it again'
    listen(Event(message=Note(text=text)))
    return name


def _add(ledger: Ledger, study: StudyRecord, wish: RetestWish, listen: Listener) -> bool:
    """Add retests; whether they are to be trained now."""
    from lrsearch.launch.retesting import add_retests

    added = add_retests(ledger, study, wish, listen=listen)
    return added.taken.over and added.study.state is StudyState.OPEN


def _train(
    config: WorkerConfig, loader: StudyLoader, ledger: Ledger, study: StudyRecord, listen: Listener
) -> None:
    from lrsearch.worker.session import open_session

    watcher = Watcher(ledger, study, listen, ways=NOTEBOOK)
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
