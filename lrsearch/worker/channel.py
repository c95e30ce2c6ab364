"""JSON lines between a worker process and its parent, over the worker's standard input and output.

Out: a thread writes events to a private copy of standard output, so that nothing the user prints
can corrupt them and a parent that is slow (or stopped) never holds up training. In: a thread reads
commands, and at once passes on what must not wait for the main thread: an interruption, a wake-up,
a signal, and the end of input, which means that the parent is dead. The study's code shares this
process: it may handle signals, fork, and close descriptors that are not its own. Knows nothing of
studies.
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

BACKLOG = 200  # messages; with more waiting, progress is dropped: the next one says the same
LOOK_SECONDS = 1.0  # between looks whether the parent lives and the descriptors are still ours

# a copy of our own: the study's code may replace json.dumps
_encode = json.JSONEncoder().encode
_decode = json.JSONDecoder().decode


class Descriptor:
    """A file descriptor, and the file that it was when it was ours: a closed one's number is soon
    another file's.
    """

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._file = _file_of(handle)

    def checked(self) -> int:
        """The number. Raises OSError where it does not lead to that file any more."""
        if _file_of(self.handle) != self._file:
            raise OSError(errno.EBADF, "it is another file now")
        return self.handle


def _file_of(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


class EventWriter:
    """Writes messages, one JSON line each, in order, on a thread of its own.

    `failed` is called once where the descriptor cannot be written, unless the parent is gone.
    """

    def __init__(
        self, handle: int, *, failed: Callable[[BaseException], None] = lambda _error: None
    ) -> None:
        self._out, self._failed = Descriptor(handle), failed
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="lrsearch-events", daemon=True)
        self._thread.start()

    def say(self, message: WorkerMessage) -> None:
        """Pass a message on; never raises and never waits."""
        line = _encode(message.to_json())
        with self._changed:
            if isinstance(message, TrialProgress) and len(self._waiting) >= BACKLOG:
                return
            self._waiting.append(line)
            self._changed.notify()

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, but no longer than `timeout` seconds."""
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
                    data = data[os.write(self._out.checked(), data) :]
            except BrokenPipeError:  # nobody listens any more; the command reader learns why
                with self._changed:
                    self._waiting.clear()
            except OSError as error:
                self._failed(error)
                return


class CommandReader:
    """Hears commands and signals on a thread of its own, even while a long graph call holds the
    main thread.

    `orphaned` is called when the parent is dead, `failed` with what keeps the thread from hearing;
    one of them ends the thread.
    """

    def __init__(
        self,
        handle: int,
        *,
        interrupted: Callable[[str], None],
        woken: Callable[[], None],
        orphaned: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.commands: SimpleQueue[Command] = SimpleQueue()
        self._in, self._parent = Descriptor(handle), os.getppid()
        self._interrupted, self._woken, self._orphaned, self._failed = (
            interrupted,
            woken,
            orphaned,
            failed,
        )
        self._rest = b""
        self._signals = Descriptor(SignalPipe().read)
        self._thread = threading.Thread(target=self._run, name="lrsearch-commands", daemon=True)

    def first_line(self) -> dict[str, Json]:
        """The configuration. Raises EOFError where there is none."""
        while b"\n" not in self._rest:
            data = os.read(self._in.checked(), 65536)
            if not data:
                raise EOFError("no configuration on standard input")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        known: dict[str, Json] = _decode(line.decode())
        return known

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._take()
            while self._listen():
                pass
            self._orphaned()
        except BaseException as error:  # noqa: BLE001 - a worker that is deaf would outlive its parent
            self._failed(error)

    def _listen(self) -> bool:
        """Pass on what there is to hear, for a moment; whether the parent lives."""
        commands, signals = self._in.checked(), self._signals.checked()
        ready, _, _ = select.select([commands, signals], [], [], LOOK_SECONDS)
        if signals in ready:
            self._hear(os.read(self._signals.checked(), 64))
        if commands in ready:
            data = os.read(self._in.checked(), 65536)
            if not data:
                return False
            self._rest += data
            self._take()
        return os.getppid() == self._parent

    def _hear(self, numbers: bytes) -> None:
        """Python tells the pipe of every signal that anybody handles here: those of the study's own
        code are not for us.
        """
        for number in numbers:
            if number in STOP_SIGNALS:
                self._interrupted(signal.Signals(number).name)

    def _take(self) -> None:
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            match command := Command.from_json(_decode(line.decode())):
                case Interrupt():
                    self._interrupted("interrupted")
                case Wake():
                    self._woken()
                case _:
                    self.commands.put(command)


class SignalPipe:
    """A pipe to which SIGTERM, SIGINT and SIGHUP are written as they come, whatever the main thread
    does.

    Python's C-level handler writes them; where the study's code takes that away (asyncio does), our
    Python-level handlers still do, as soon as the main thread runs Python. Where it takes a
    handler, the signal is its own. Processes that the study forks have nothing of this: they get
    the handlers that this process had before, and no signal of theirs is written here.
    """

    def __init__(self) -> None:
        self.read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self._masks = threading.local()
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._heard)
        os.register_at_fork(
            before=self._block, after_in_parent=self._unblock, after_in_child=self._forget
        )

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):  # it is full of such
            os.write(self._write, bytes([number]))

    def _block(self) -> None:
        """Hold signals back until a forked child has dropped our handlers."""
        self._masks.old = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.old)

    def _forget(self) -> None:
        wakeup = signal.set_wakeup_fd(-1)
        if wakeup not in {-1, self._write}:  # the study's own, which its children have as ever
            signal.set_wakeup_fd(wakeup)
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._heard:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._unblock()


def private_output() -> int:
    """A copy of standard output for messages; from now on prints go to standard error."""
    sys.stdout.flush()
    handle = os.dup(1)  # not inheritable: the user's own children must not hold it open
    os.dup2(2, 1)
    return handle


def private_input() -> int:
    """A copy of standard input for commands; the user's own code reads an empty one."""
    handle = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return handle
