"""A worker process as its parent sees it.

The worker's output goes to an unlinked temporary file, not to a pipe: a print must
neither fail nor wait while the parent is dead or stopped. Knows nothing of studies.
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
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue

from lrsearch.messages import Command, Message, WorkerFailed, WorkerMessage
from lrsearch.setup.slots import Slot, environment
from lrsearch.worker.config import WorkerConfig

COMMAND = (sys.executable, "-P", "-m", "lrsearch.worker")
TAIL_LINES = 40  # last lines of output, shown when the worker dies
# from a worker's closing of the pipe to its parent until the worker is killed
MUTE_SECONDS = 5.0
# The output file is emptied at this size, so that a chatty study file does not fill
# /tmp.
_OUTPUT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Exited:
    """A child's process is gone: the last item that its threads put into the inbox."""

    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal to the parent itself."""

    number: int


Inbox = SimpleQueue["tuple[Child, WorkerMessage | Exited] | Signalled"]


class Child:
    """A running worker; its messages go to the inbox, and `Exited` after them."""

    def __init__(self, slot: Slot, config: WorkerConfig, inbox: Inbox) -> None:
        self.slot = slot
        self.ready = False
        self.working = False
        self.done = False  # whether its training is over
        self.signalled = ""  # a signal that the worker itself received
        self.worker_id: int | None = None  # in the ledger, once it trains
        self.error: WorkerFailed | None = None
        # (trial, attempt): began, monotonic
        self.attempts: dict[tuple[int, int], float] = {}
        self.verdict = ""  # why the parent killed it; empty where it did not
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._seen = 0  # bytes of the output that were read
        self._rest = b""  # the output's last line while its end is missing
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=_set_append(self._output.fileno()),
            env=environment(slot, os.environ),
            # A terminal's Ctrl-C reaches the parent alone, which passes it on.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(inbox,), daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, args=(inbox,), daemon=True).start()
        self.send(
            replace(
                config, slot=slot.name, threads=slot.threads, memory_mib=slot.memory_mib
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, line: Command | WorkerConfig) -> None:
        """Send a line of JSON; nothing happens where the child is gone."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(line.to_json()).encode() + b"\n")
            self._process.stdin.flush()

    def kill(self, verdict: str = "") -> None:
        """End the worker and everything it started, at once."""
        self.verdict = self.verdict or verdict
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def read_output(self) -> list[str]:
        """Read the whole lines that the worker printed since the last call."""
        data = os.pread(self._output.fileno(), _OUTPUT_BYTES, self._seen)
        self._seen += len(data)
        # the worker appends: its next line is the file's first
        if self._seen >= _OUTPUT_BYTES:
            self._output.truncate(0)
            self._seen = 0
        *lines, self._rest = (self._rest + data).split(b"\n")
        texts = [line.decode(errors="replace") for line in lines]
        self._tail.extend(texts)
        return texts

    def read_tail(self) -> str:
        """Read the last lines that the worker printed."""
        self.read_output()
        return "\n".join([*self._tail, self._rest.decode(errors="replace")]).strip()

    def describe_end(self, code: int) -> str:
        """Describe the worker's end for people."""
        signalled = self.signalled and f"told to stop by {self.signalled}"
        return self.verdict or signalled or describe_exit(code)

    @property
    def reason(self) -> str:
        """The error that ended the worker, in one line; empty where it reported none."""
        return "" if self.error is None else " ".join(self.error.text.split())

    def close(self) -> None:
        """Close the files of a worker that is gone.

        The reading thread closes the pipe: a process that the worker left behind may
        keep the pipe open, and nothing interrupts a read of it.
        """
        for file in (self._process.stdin, self._output):
            with suppress(OSError):
                if file is not None:
                    file.close()

    def _read(self, inbox: Inbox) -> None:
        """Put the worker's messages into the inbox.

        A worker that writes another line is killed: everybody may wait for the message
        that the line has destroyed.
        """
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                message = _parse_message(line)
                if message is not None:
                    inbox.put((self, message))
                elif line.endswith(b"\n"):  # else the worker was killed while it wrote
                    shown = line[:80].decode(errors="replace").strip()
                    self.kill(f"it wrote to lrsearch's own pipe: {shown!r}")
                    return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(MUTE_SECONDS)
            return
        self.kill("it closed the pipe to its parent")

    def _wait(self, inbox: Inbox) -> None:
        code = self._process.wait()
        self.kill()  # processes that the user's code started and left behind
        self._reader.join(timeout=1.0)  # its last messages come before `Exited`
        inbox.put((self, Exited(code)))


def _parse_message(line: bytes) -> WorkerMessage | None:
    """Parse the worker's message in a line; None for another line."""
    with suppress(ValueError):
        data = json.loads(line)
        message = Message.from_json(data) if isinstance(data, dict) else None
        return message if isinstance(message, WorkerMessage) else None
    return None


def _set_append(handle: int) -> int:
    """Set a file to append, so that a truncation by the parent moves the child's next write.

    Parent and child share the flags of the file.
    """
    import fcntl

    fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) | os.O_APPEND)
    return handle


def describe_exit(code: int) -> str:
    """Describe a process' exit code for people."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
