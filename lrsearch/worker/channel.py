"""JSON lines between a worker process and its parent, over standard input and output.

Out: a thread writes events to a private copy of standard output. So nothing that the
user prints can corrupt them, and a parent that is slow or stopped never delays
training. In: a thread reads commands, and acts at once where a command must not wait
for the main thread: an interruption, a wake-up, a signal, and the end of input, which
means that the parent is dead. The study's code shares this process: it may handle
signals, fork, and close descriptors that are not its own. Knows nothing of studies.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType

from lrsearch.machine import STOP_SIGNALS
from lrsearch.messages import Command, Interrupt, TrialProgress, Wake, WorkerMessage
from lrsearch.values import Json

# messages; with more waiting, progress is dropped: the next one is as good
BACKLOG = 200
# between checks that the parent lives and the descriptors are still ours
LOOK_SECONDS = 1.0

# Our own copy: the study's code may replace json.dumps.
_encode = json.JSONEncoder().encode
_decode = json.JSONDecoder().decode


class Descriptor:
    """A file descriptor and its file: the number of a closed one is soon another file's."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._file = _file_of(handle)

    def check(self) -> int:
        """Return the number. Raises OSError where it is another file's now."""
        if _file_of(self.handle) != self._file:
            raise OSError(errno.EBADF, "it is another file now")
        return self.handle


def _file_of(handle: int) -> tuple[int, int]:
    status = os.fstat(handle)
    return status.st_dev, status.st_ino


class EventWriter:
    """Writes messages, one JSON line each, in order, on a thread of its own.

    `on_failure` is called once where the descriptor cannot be written, unless the
    parent is gone.
    """

    def __init__(
        self,
        handle: int,
        *,
        on_failure: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self._out, self._on_failure = Descriptor(handle), on_failure
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(
            target=self._run, name="lrsearch-events", daemon=True
        )
        self._thread.start()

    def write(self, message: WorkerMessage) -> None:
        """Queue a message; never raises and never waits."""
        line = _encode(message.to_json())
        with self._changed:
            if isinstance(message, TrialProgress) and len(self._waiting) >= BACKLOG:
                return
            self._waiting.append(line)
            self._changed.notify()

    def close(self, timeout: float = 2.0) -> None:
        """Write the queued messages, for at most `timeout` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                line = self._waiting.popleft()
            data = line.encode() + b"\n"
            try:
                while data:
                    data = data[os.write(self._out.check(), data) :]
            except BrokenPipeError:
                # the parent is gone; the command reader handles that
                with self._changed:
                    self._waiting.clear()
            except OSError as error:
                self._on_failure(error)
                return


class CommandReader:
    """Reads commands and signals on a thread of its own, also during a long graph call.

    `on_orphan` is called when the parent is dead, `on_failure` with an error that keeps
    the thread from reading. Both end the thread.
    """

    def __init__(
        self,
        handle: int,
        *,
        on_interrupt: Callable[[str], None],
        on_wake: Callable[[], None],
        on_orphan: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.commands: SimpleQueue[Command] = SimpleQueue()
        self._in, self._parent = Descriptor(handle), os.getppid()
        self._on_interrupt, self._on_wake = on_interrupt, on_wake
        self._on_orphan, self._on_failure = on_orphan, on_failure
        self._rest = b""
        self._signals = Descriptor(SignalPipe().read)
        self._thread = threading.Thread(
            target=self._run, name="lrsearch-commands", daemon=True
        )

    def first_line(self) -> dict[str, Json]:
        """Read the configuration. Raises EOFError where there is none."""
        while b"\n" not in self._rest:
            data = os.read(self._in.check(), 65536)
            if not data:
                raise EOFError("no configuration on standard input")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        config: dict[str, Json] = _decode(line.decode())
        return config

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._handle_lines()
            while self._read():
                pass
            self._on_orphan()
        except BaseException as error:  # noqa: BLE001 - else it outlives its parent
            self._on_failure(error)

    def _read(self) -> bool:
        """Read and handle what comes within a second; returns whether the parent lives."""
        commands, signals = self._in.check(), self._signals.check()
        ready, _, _ = select.select([commands, signals], [], [], LOOK_SECONDS)
        if signals in ready:
            self._handle_signals(os.read(self._signals.check(), 64))
        if commands in ready:
            data = os.read(self._in.check(), 65536)
            if not data:
                return False
            self._rest += data
            self._handle_lines()
        return os.getppid() == self._parent

    def _handle_signals(self, numbers: bytes) -> None:
        # Python writes every signal that is handled here, those of the study's own
        # code, too.
        for number in numbers:
            if number in STOP_SIGNALS:
                self._on_interrupt(signal.Signals(number).name)

    def _handle_lines(self) -> None:
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            match command := Command.from_json(_decode(line.decode())):
                case Interrupt():
                    self._on_interrupt("interrupted")
                case Wake():
                    self._on_wake()
                case _:
                    self.commands.put(command)


class SignalPipe:
    """A pipe that gets SIGTERM, SIGINT and SIGHUP at once, whatever the main thread does.

    Python's C-level handler writes them. Where the study's code replaces that one
    (asyncio does), our Python-level handlers write them as soon as the main thread runs
    Python. Where the study's code replaces a handler, the signal is its own. Processes
    that the study forks get the handlers that this process had before, and their
    signals are not written here.
    """

    def __init__(self) -> None:
        self.read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self._masks = threading.local()
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        os.register_at_fork(
            before=self._block,
            after_in_parent=self._unblock,
            after_in_child=self._forget,
        )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):  # the pipe is full of signals
            os.write(self._write, bytes([number]))

    def _block(self) -> None:
        """Block signals until a forked child has dropped our handlers."""
        self._masks.old = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.old)

    def _forget(self) -> None:
        wakeup = signal.set_wakeup_fd(-1)
        if wakeup not in {-1, self._write}:  # the study's own, which its children keep
            signal.set_wakeup_fd(wakeup)
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._unblock()


def private_output() -> int:
    """Copy standard output for messages; from now on prints go to standard error."""
    sys.stdout.flush()
    handle = os.dup(1)  # not inheritable: the user's own children must not keep it open
    os.dup2(2, 1)
    return handle


def private_input() -> int:
    """Copy standard input for commands; the user's own code reads an empty one."""
    handle = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return handle
