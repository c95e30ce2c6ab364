"""JSON lines between a worker process and its parent, over the worker's standard input and output.

Out: a thread writes events to a private copy of standard output, so that nothing the user prints can corrupt them and a
parent that is slow (or stopped) never holds up training. In: a thread reads commands, and at once passes on what must
not wait for the main thread: an interruption, a wake-up, a signal, and the end of input, which means that the parent is dead.
Knows nothing of studies.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from lrsearch.machine import STOP_SIGNALS
from lrsearch.values import Json

BACKLOG = 200  # events; with more waiting, progress is dropped: the next one says the same
DROPPABLE = frozenset({"trial.progress"})


class Mouth:
    """Says events, one JSON line each, in order."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="lrsearch-mouth", daemon=True)
        self._thread.start()

    def say(self, event: str, /, **facts: Json) -> None:
        """Pass an event on; never raises and never waits."""
        line = json.dumps({"event": event, **facts}, default=str)
        with self._changed:
            if event in DROPPABLE and len(self._waiting) >= BACKLOG:
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
                    data = data[os.write(self._handle, data) :]
            except OSError:  # nobody listens any more; the ear learns why
                with self._changed:
                    self._waiting.clear()


class Ear:
    """Hears commands and signals on a thread of its own, even while a long graph call holds the main thread."""

    def __init__(
        self, handle: int, *, interrupted: Callable[[str], None], woken: Callable[[], None], orphaned: Callable[[], None]
    ) -> None:
        self.commands: SimpleQueue[dict[str, Json]] = SimpleQueue()
        self._handle, self._interrupted, self._woken, self._orphaned = handle, interrupted, woken, orphaned
        self._rest = b""
        self._signals = _signal_pipe()
        self._thread = threading.Thread(target=self._run, name="lrsearch-ear", daemon=True)

    def first_line(self) -> dict[str, Json]:
        """The configuration. Raises EOFError where there is none."""
        while b"\n" not in self._rest:
            data = os.read(self._handle, 65536)
            if not data:
                raise EOFError("no configuration on standard input")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        known: dict[str, Json] = json.loads(line)
        return known

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def _run(self) -> None:
        self._take()
        while True:
            ready, _, _ = select.select([self._handle, self._signals], [], [])
            if self._signals in ready:
                for number in os.read(self._signals, 64):
                    self._interrupted(signal.Signals(number).name)
            if self._handle in ready:
                data = os.read(self._handle, 65536)
                if not data:
                    self._orphaned()
                    return
                self._rest += data
                self._take()

    def _take(self) -> None:
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command["do"] == "interrupt":
                self._interrupted("interrupted")
            if command["do"] == "wake":
                self._woken()
            else:
                self.commands.put(command)


def _signal_pipe() -> int:
    """A pipe to which the C-level handlers of SIGTERM, SIGINT and SIGHUP write, whatever the main thread does."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda _number, _frame: None)
    return read


def private_output() -> int:
    """A copy of standard output for events; from now on whatever is printed goes to standard error."""
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
