"""A worker as a process: its streams, its signals, and the commands that it obeys.

Commands come as JSON lines on standard input, messages leave as JSON lines on standard
output (`lrsearch.messages` lists both). The end of input means that the parent is dead:
running attempts are put back, and the process ends within five seconds, whatever blocks
it. A worker that can neither read nor write any more ends at once.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

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
    WorkerLeft,
    WorkerMessage,
    WorkerReady,
    WorkerSignalled,
)
from lrsearch.worker.channel import (
    CommandReader,
    EventWriter,
    private_input,
    private_output,
)
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.loading import StudyLoader, make_loader
from lrsearch.worker.stopping import TIME_IS_UP, StopRequest
from lrsearch.worker.wire import error_to_message

ORPHAN_SECONDS = 4.0  # from the parent's death to ours; promised: 5
SIGNAL_SECONDS = 9.0  # from a signal sent to this very process to its end; promised: 10


def main() -> None:
    """The entry of `python -m lrsearch.worker`."""
    process, code = WorkerProcess(), 0
    try:
        process.obey_commands()
    except BaseException as error:  # noqa: BLE001 - the parent must learn of every error
        code = process.report_failure(error)
    process.close()
    # TensorFlow's own shutdown can hang, and nothing of ours needs it.
    end_process(code, sweep=process.orphaned)


class WorkerProcess:
    """One process on one slot, usually for one study."""

    def __init__(self) -> None:
        self.orphaned = False  # whether the parent died
        self._stop = StopRequest()
        self._writer = EventWriter(private_output(), on_failure=_end_unreachable)
        self._reader = CommandReader(
            private_input(),
            on_interrupt=self._interrupt,
            on_wake=self._stop.wake,
            on_orphan=self._orphan,
            on_failure=_end_unreachable,
        )
        self._send = self._writer.write

    def obey_commands(self) -> None:
        """Obey the parent's commands until `Quit` comes or the worker must stop."""
        try:
            config = WorkerConfig.from_json(self._reader.first_line())
        except EOFError:  # the parent ended before it sent anything
            return
        self._reader.start()
        loader = make_loader(config)
        _load_libraries(loader)
        self._send(WorkerReady(pid=os.getpid()))
        from lrsearch.storage import open_ledger
        from lrsearch.worker.session import open_session

        while not self._stop.reason:
            match self._reader.commands.get():
                case Load():
                    loader.load()
                case Inspect():
                    self._send(StudyInspected(inspection=_inspect(config, loader)))
                    # frees the inspected model while the parent makes the study
                    gc.collect()
                case Work(study=name):
                    with open_ledger(config.storage) as ledger:
                        study = ledger.study(name)
                        with open_session(
                            config,
                            ledger,
                            study,
                            loader,
                            stop=self._stop,
                            send=self._send,
                        ) as session:
                            gc.freeze()  # the study's own objects stay, too
                            reason = session.train(until=config.until)
                    self._send(self._end_of(reason))
                case Quit():
                    return

    def _end_of(self, reason: str) -> WorkerMessage:
        """The message to the parent at the end of a session that ended for `reason`."""
        if reason == TIME_IS_UP:
            return WorkerLeft()
        stopped = self._stop.reason
        return (
            WorkerInterrupted(reason=stopped) if stopped else WorkerDone(reason=reason)
        )

    def report_failure(self, error: BaseException) -> int:
        """Tell the parent why this process cannot go on; returns the exit code."""
        if self._stop.reason:
            self._send(WorkerInterrupted(reason=self._stop.reason))
        else:
            self._send(error_to_message(error))
        return error.exit_code if isinstance(error, LrSearchError) else 1

    def close(self) -> None:
        """Write the queued messages."""
        self._writer.close()

    def _interrupt(self, reason: str) -> None:
        """Stop, on the reader's thread: on a command, on a signal, or on the parent's death."""
        signalled = not self._stop.reason and reason.startswith("SIG")
        if signalled:
            # At once: a long call may block the main thread until its end.
            self._send(WorkerSignalled(signal=reason))
        self._stop.stop(reason)
        self._reader.commands.put(Quit())
        if signalled:
            _end_after(SIGNAL_SECONDS, 128 + signal.Signals[reason], sweep=False)

    def _orphan(self) -> None:
        """Stop, on the reader's thread, when the parent is dead."""
        self.orphaned = True
        _end_after(ORPHAN_SECONDS, 1, sweep=True)
        self._interrupt("the parent process died")


def _load_libraries(loader: StudyLoader) -> None:
    """Load the libraries with Python's garbage collector off.

    The collector would walk TensorFlow's million objects again and again: a fifth of
    the import (3.2 s instead of 4.0). The objects stay, so later collections skip them,
    too.
    """
    gc.disable()
    loader.prepare()
    gc.freeze()
    gc.enable()


def _inspect(config: WorkerConfig, loader: StudyLoader) -> Inspection:
    """Inspect the study, and time a few steps where the configuration asks for them."""
    inspection = loader.inspect()
    if not config.times:
        return inspection
    from lrsearch.worker.step_timing import time_engine

    return replace(inspection, figures=time_engine(loader, inspection))


def _end_after(seconds: float, code: int, *, sweep: bool) -> None:
    """End this process as `end_process` does after `seconds`, whatever the main thread does."""

    def end() -> None:
        time.sleep(seconds)
        end_process(code, sweep=sweep)

    threading.Thread(target=end, name="lrsearch-end", daemon=True).start()


def _end_unreachable(error: BaseException) -> None:
    """End this process, which can neither read from its parent nor write to it.

    The parent counts its attempts as lost, and goes on. Nothing is put back: where the
    study's code does this to every worker, its trials would be tried for ever.
    """
    cause = f"{type(error).__name__}: {error}"
    text = (
        f"lrsearch: this worker cannot speak with its parent any more: {cause}. "
        "Does the study's code close file descriptors that are not its own?\n"
    )
    with suppress(OSError):
        os.write(2, text.encode())
    end_process(1, sweep=True)


def end_process(code: int, *, sweep: bool) -> None:
    """End this process at once; with `sweep`, also the processes that the study's code started."""
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    if sweep and os.getpgrp() == os.getpid():  # this process leads their group
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(code)
