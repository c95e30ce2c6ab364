"""One worker process as its parent sees it: started, told, listened to, ended with all it started.

What it prints goes to an unlinked temporary file, not to a pipe: a print must neither fail nor wait
when the parent is dead or stopped. Knows nothing of studies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue

from lrsearch.messages import Command, Message, WorkerFailed, WorkerMessage
from lrsearch.setup.slots import Slot, environment
from lrsearch.values import Json
from lrsearch.worker.config import WorkerConfig

COMMAND = (sys.executable, "-P", "-m", "lrsearch.worker")
TAIL_LINES = 40  # of what it printed, shown when it dies
MUTE_SECONDS = 5.0  # a worker that closed the pipe to its parent has ended by then, or is ended
# read and emptied at this size, so that a chatty study file does not fill /tmp
_OUTPUT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Exited:
    """The last that a child's threads put into the inbox: its process is gone."""

    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal to the parent itself."""

    number: int


Inbox = SimpleQueue["tuple[Child, WorkerMessage | Exited] | Signalled"]


class Child:
    """A running worker; its messages, and at last `Exited`, go to the inbox."""

    def __init__(self, slot: Slot, config: WorkerConfig, inbox: Inbox) -> None:
        self.slot = slot
        self.ready = False
        self.working = False
        self.done = False  # it holds nothing any more
        self.signalled = ""  # a signal that told this very worker to stop
        self.worker_id: int | None = None  # in the ledger, once it trains
        self.error: WorkerFailed | None = None
        self.holds: dict[tuple[int, int], float] = {}  # (trial, attempt): when it began, monotonic
        self.verdict = ""  # why the parent killed it; empty where it did not
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._seen = 0  # bytes of it that were read
        self._rest = b""
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=_appending(self._printed.fileno()),
            env=environment(slot, os.environ),
            # a terminal's Ctrl-C reaches the parent alone, which passes it on
            start_new_session=True,
        )
        self._reader = threading.Thread(
            target=self._read, args=(inbox,), name=f"lrsearch-read-{slot.name}", daemon=True
        )
        self._reader.start()
        threading.Thread(
            target=self._wait, args=(inbox,), name=f"lrsearch-wait-{slot.name}", daemon=True
        ).start()
        told = replace(config, slot=slot.name, threads=slot.threads, memory_mib=slot.memory_mib)
        self._write(told.to_json())

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, command: Command) -> None:
        """Send a command; a child that is gone does not mind."""
        self._write(command.to_json())

    def _write(self, line: Mapping[str, Json]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()

    def kill(self, verdict: str = "") -> None:
        """End it and everything it started, at once."""
        self.verdict = self.verdict or verdict
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def printed(self) -> list[str]:
        """Whole lines that it printed since the last call."""
        data = os.pread(self._printed.fileno(), _OUTPUT_BYTES, self._seen)
        self._seen += len(data)
        if self._seen >= _OUTPUT_BYTES:  # it appends, so its next line goes to the new beginning
            self._printed.truncate(0)
            self._seen = 0
        *lines, self._rest = (self._rest + data).split(b"\n")
        texts = [line.decode(errors="replace") for line in lines]
        self._tail.extend(texts)
        return texts

    def tail(self) -> str:
        """The last lines that it printed."""
        self.printed()
        return "\n".join([*self._tail, self._rest.decode(errors="replace")]).strip()

    def ending(self, code: int) -> str:
        """How it ended, for people."""
        return self.verdict or (
            f"told to stop by {self.signalled}" if self.signalled else ending(code)
        )

    @property
    def reason(self) -> str:
        """What it said of the error that it could not go on from, in one line; empty where it said
        nothing.
        """
        return "" if self.error is None else " ".join(self.error.text.split())

    def close(self) -> None:
        """Let go of its files; it is gone."""
        # The reader closes the output: a process that the worker left behind in a session of its
        # own may hold it open, and no reader of that can be interrupted.
        for file in (self._process.stdin, self._printed):
            with suppress(OSError):
                if file is not None:
                    file.close()

    def _read(self, inbox: Inbox) -> None:
        """Pass its messages on.

        A worker that cannot be understood is ended: what it would say next may be what all wait
        for.
        """
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                message = _message_of(line)
                if message is not None:
                    inbox.put((self, message))
                elif line.endswith(b"\n"):  # else it was killed in the middle of it
                    shown = line[:80].decode(errors="replace").strip()
                    self.kill(f"it wrote to lrsearch's own pipe: {shown!r}")
                    return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(MUTE_SECONDS)
            return
        self.kill("it closed the pipe to its parent")

    def _wait(self, inbox: Inbox) -> None:
        code = self._process.wait()
        # what the user's code started and left behind
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reader.join(timeout=1.0)  # its last words come before the news of its end
        inbox.put((self, Exited(code)))


def _message_of(line: bytes) -> WorkerMessage | None:
    """The message that a line holds, or None where it holds none of a worker's."""
    try:
        data = json.loads(line)
        message = Message.from_json(data) if isinstance(data, dict) else None
    except ValueError:
        return None
    return message if isinstance(message, WorkerMessage) else None


def _appending(handle: int) -> int:
    """`handle`, set to append: parent and child share its flags, and a truncation moves the child's
    next write.
    """
    import fcntl

    fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) | os.O_APPEND)
    return handle


def ending(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
