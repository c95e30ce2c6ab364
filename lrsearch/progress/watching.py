"""Progress for people: a live view in a terminal, lines elsewhere, and a log file of JSON lines.

Listens to messages only; knows nothing of processes or databases.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TextIO

from lrsearch.errors import InvalidValue
from lrsearch.messages import Event, Listener, TrialProgress
from lrsearch.progress.lines import Lines
from lrsearch.progress.listeners import to_all
from lrsearch.progress.state import ProgressState


@contextmanager
def watching(
    *,
    quiet: bool = False,
    verbose: bool = False,
    log_file: str | Path | None = None,
    stream: TextIO | None = None,
) -> Iterator[Listener]:
    """A listener for `run_study` that shows progress on `stream` (standard error).

    Live where `stream` is a terminal, else a line a finished trial; `quiet` shows nothing,
    `verbose` also what workers print. `log_file` gets every event but progress within a trial, one
    JSON object a line, appended.
    """
    stream = sys.stderr if stream is None else stream
    with ExitStack() as stack:
        listeners: dict[str, Listener] = {}
        if log_file is not None:
            listeners["the log file"] = stack.enter_context(_log(Path(log_file)))
        if not quiet:
            listeners |= _view(stack, stream, verbose=verbose)
        yield to_all(listeners)


def _view(stack: ExitStack, stream: TextIO, *, verbose: bool) -> dict[str, Listener]:
    state = ProgressState()
    out: Callable[[str], None] = partial(print, file=stream, flush=True)
    width: Callable[[], int] | None = None
    terminal = stream.isatty()
    if terminal:
        from lrsearch.progress.live import LiveView

        live = stack.enter_context(LiveView(state, stream))
        out, width = live.print, live.width
    lines = Lines(state, out, verbose=verbose, terse=terminal, width=width)
    return {"what progress is made of": state.take, "progress on the terminal": lines}


@contextmanager
def _log(path: Path) -> Iterator[Listener]:
    try:
        # what could not be written must not wait in a buffer to fail again on closing
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise InvalidValue(
            "--log-file", got=str(path), allowed=f"a file that can be written ({error.strerror})"
        ) from error

    def write(event: Event) -> None:
        if isinstance(event.message, TrialProgress):
            return  # several a second; an epoch's values are in the database
        line = (json.dumps(event.to_json()) + "\n").encode()
        while line:
            line = line[file.write(line) :]

    try:
        yield write
    finally:
        with suppress(OSError):  # a network's file system may tell only here that the disk was full
            file.close()
