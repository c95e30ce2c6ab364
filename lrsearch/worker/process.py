"""A worker as a process: told what to do by JSON lines on standard input, saying what it does on
standard output.

Commands: {"do": "load"}, {"do": "inspect"}, {"do": "work", "study": NAME}, {"do": "wake"}, {"do":
"interrupt"}, {"do": "quit"}. The end of input means that the parent is dead: running attempts are
put back and the process is gone within five seconds, whatever holds it. A worker that can neither
hear nor speak any more is gone at once.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrsearch.errors import LrSearchError
from lrsearch.messages import (
    Inspect,
    Inspection,
    Load,
    Quit,
    StudyInspected,
    Work,
    WorkerDone,
    WorkerInterrupted,
    WorkerReady,
    WorkerSignalled,
    Working,
)
from lrsearch.values import StudyRecord
from lrsearch.version import versions
from lrsearch.worker.channel import CommandReader, EventWriter, private_input, private_output
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.heart import Heart
from lrsearch.worker.wire import error_to_message
from lrsearch.worker.workshop import Workshop, host_name, workshop_of

if TYPE_CHECKING:
    from lrsearch.engine.contract import Engine
    from lrsearch.space import SearchSpace
    from lrsearch.storage import Ledger

ORPHAN_SECONDS = 4.0  # from the parent's death to ours; promised: 5
SIGNAL_SECONDS = 9.0  # from a signal sent to this very process to its end; promised: 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """A study, loaded and ready to be trained."""

    ledger: Ledger
    study: StudyRecord
    space: SearchSpace
    engine: Engine


class WorkerProcess:
    """One process, one slot; usually one study."""

    def __init__(self) -> None:
        self._events = EventWriter(private_output(), failed=_cut_off)
        self._commands = CommandReader(
            private_input(),
            interrupted=self._interrupt,
            woken=self._wake,
            orphaned=self._orphan,
            failed=_cut_off,
        )
        self._heart: Heart | None = None
        self._stopping = ""
        self._orphaned = threading.Event()

    def run(self) -> int:
        """Obey commands until told to quit; returns the exit code."""
        try:
            config = WorkerConfig.from_json(self._commands.first_line())
            self._commands.start()
            workshop = workshop_of(config)
            _prepared(workshop)
            self._events.say(WorkerReady(pid=os.getpid()))
            self._obey(config, workshop)
        except EOFError:
            return 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            if self._stopping:
                self._events.say(WorkerInterrupted(reason=self._stopping))
            else:
                self._events.say(error_to_message(error))
            return error.exit_code if isinstance(error, LrSearchError) else 1
        finally:
            self._events.close()
        return 0

    def _obey(self, config: WorkerConfig, workshop: Workshop) -> None:
        while not self._stopping:
            command = self._commands.commands.get()
            match command:
                case Load():
                    workshop.load()
                case Inspect():
                    self._events.say(StudyInspected(inspection=_inspected(config, workshop)))
                    gc.collect()  # the inspected model goes, while the parent makes the study
                case Work(study=name):
                    reason = self._work(config, workshop, name)
                    if self._stopping:
                        self._events.say(WorkerInterrupted(reason=self._stopping))
                    else:
                        self._events.say(WorkerDone(reason=reason))
                case Quit():
                    return

    def _open(self, config: WorkerConfig, workshop: Workshop, name: str) -> _Opened:
        """Everything that training the study needs."""
        from lrsearch.storage import open_ledger
        from lrsearch.worker.opening import settle_engine

        ledger = open_ledger(config.storage)
        study = ledger.study(name)
        space, engine = workshop.open(study)
        settle_engine(config, ledger, study, engine, say=self._events.say)
        gc.freeze()  # what the study holds stays too
        return _Opened(ledger=ledger, study=study, space=space, engine=engine)

    def _work(self, config: WorkerConfig, workshop: Workshop, name: str) -> str:
        opened = self._open(config, workshop, name)
        try:
            return self._train(config, opened)
        finally:
            opened.ledger.close()

    def _train(self, config: WorkerConfig, opened: _Opened) -> str:
        from lrsearch.worker.loop import work
        from lrsearch.worker.opening import desk_for

        ledger, study = opened.ledger, opened.study
        worker_id = ledger.add_worker(
            study.id,
            host=config.host or host_name(),
            pid=os.getpid(),
            slot=config.slot,
            versions=versions(),
        )
        # first of all: the parent closes the entry of a worker that dies
        self._events.say(Working(worker=worker_id))
        try:
            desk, heart = desk_for(
                config, ledger, study, worker_id=worker_id, space=opened.space, say=self._events.say
            )
            self._heart = heart
            if self._stopping:
                heart.interrupt(self._stopping)
            heart.start()
            return work(desk, opened.engine, until=config.until)
        finally:
            if self._heart is not None:
                self._heart.close()
            self._heart = None
            with suppress(LrSearchError):
                ledger.worker_seen(worker_id, "gone")

    @property
    def orphaned(self) -> bool:
        """Whether the parent died."""
        return self._orphaned.is_set()

    def _interrupt(self, reason: str) -> None:
        """Called on the command reader's thread."""
        first = not self._stopping
        if first and reason.startswith("SIG"):
            # now: a long call may hold the main thread to its end
            self._events.say(WorkerSignalled(signal=reason))
        self._stopping = self._stopping or reason
        if self._heart is not None:
            self._heart.interrupt(reason)
        self._commands.commands.put(Quit())
        if first and reason.startswith("SIG"):
            _end_after(SIGNAL_SECONDS, 128 + signal.Signals[reason])

    def _wake(self) -> None:
        """Called on the command reader's thread when another worker has ended a trial."""
        if self._heart is not None:
            self._heart.wake()

    def _orphan(self) -> None:
        """Called on the command reader's thread when the parent is dead."""
        self._orphaned.set()
        _end_after(ORPHAN_SECONDS, 1)
        self._interrupt("the parent process died")


def _inspected(config: WorkerConfig, workshop: Workshop) -> Inspection:
    """What the study is, and how long its steps take where that is asked for."""
    found = workshop.inspect()
    if not config.times:
        return found
    from lrsearch.worker.timing import timed_figures

    return replace(found, figures=timed_figures(workshop, found))


def _prepared(workshop: Workshop) -> None:
    """Load the libraries with Python's collector off: it would walk TensorFlow's million objects
    again and again.

    That takes a fifth of the import (3.2 s instead of 4.0). They stay, so later collections need
    not see them either.
    """
    gc.disable()
    workshop.prepare()
    gc.freeze()
    gc.enable()


def _end_after(seconds: float, code: int) -> None:
    """End this process, and its group where it leads one, after `seconds`, whatever the main thread
    does.
    """

    def end() -> None:
        time.sleep(seconds)
        leave(code, sweep=code == 1)

    threading.Thread(target=end, name="lrsearch-end", daemon=True).start()


def _cut_off(error: BaseException) -> None:
    """End this process, which can neither be told anything nor tell: its parent counts what it held
    as lost, and goes on.

    It is not put back: what the study's code does to every worker would be tried for ever.
    """
    text = f"lrsearch: this worker cannot speak with its parent any more: {type(error).__name__}: {error}. Does the study's code"
    with suppress(OSError):
        os.write(2, f"{text} close file descriptors that are not its own?\n".encode())
    leave(1, sweep=True)


def leave(code: int, *, sweep: bool = False) -> None:
    """Leave at once; with `sweep`, together with whatever the user's code started (this process
    leads their group).
    """
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    if sweep and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(code)


def main() -> None:
    """The entry of `python -m lrsearch.worker`."""
    process = WorkerProcess()
    code = process.run()
    # TensorFlow's own shutdown can hang, and nothing of ours needs it
    leave(code, sweep=process.orphaned)
