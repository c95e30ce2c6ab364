"""Ctrl-C, SIGTERM and SIGHUP in a parent of workers: the first asks, the second ends at once.

Python runs signal handlers only between the main thread's bytecodes, so a call that
waits in C (a locked database) would delay a second Ctrl-C. So a thread reads the
signals from the C-level wakeup pipe, too. It ends the process if the main thread has
not done so 0.4 s after the second signal. Outside the main thread nothing is installed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from lrsearch.errors import Interrupted
from lrsearch.machine import STOP_SIGNALS

# promised: the end within 1 s of the second, also on a busy machine
_PATIENCE_SECONDS = 0.4
_SHOW_CURSOR = b"\x1b[?25h"  # a live view hides it


class Signals:
    """A context that answers signals.

    The first signal calls `first(number)`; the second calls `second()` and raises
    Interrupted.
    """

    def __init__(
        self, first: Callable[[int], None], second: Callable[[], None]
    ) -> None:
        self._first, self._second = first, second
        self.number: int | None = None  # the first signal that came
        self._old: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._old_wakeup = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {
                number: signal.signal(number, self._handle)
                for number in STOP_SIGNALS
                if not _is_nohup(number)
            }
            read, write = self._pipe = os.pipe()
            os.set_blocking(write, False)
            self._old_wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
            threading.Thread(target=self._watch_pipe, args=(read,), daemon=True).start()
            # A process that the caller's code forks drops our handlers.
            os.register_at_fork(after_in_child=self._restore)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._pipe is not None:
            _, write = self._pipe
            self._restore()
            os.close(write)  # the watching thread reads the end and leaves

    def _restore(self) -> None:
        if self._pipe is not None:
            self._pipe = None
            signal.set_wakeup_fd(self._old_wakeup)
            for number, handler in self._old.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self._first(number)
            return
        self._second()
        raise Interrupted(
            number,
            "ended at once; running trials go back to the queue when their leases lapse",
        )

    def _watch_pipe(self, read: int) -> None:
        seen = 0
        while data := os.read(read, 64):
            seen += sum(number in STOP_SIGNALS for number in data)
            if seen > 1:
                timer = threading.Timer(_PATIENCE_SECONDS, self._end_process)
                timer.daemon = True
                timer.start()
                break
        while os.read(read, 64):
            pass
        os.close(read)

    def _end_process(self) -> None:
        if self._pipe is None:  # the main thread has left the context
            return
        self._second()
        with suppress(OSError, ValueError):  # the terminal may be gone
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
        os._exit(128 + (self.number or signal.SIGINT))


def _is_nohup(number: int) -> bool:
    """Whether the process was started to outlive its terminal: `nohup` ignores SIGHUP."""
    return (
        number == getattr(signal, "SIGHUP", None)
        and signal.getsignal(number) is signal.SIG_IGN
    )
