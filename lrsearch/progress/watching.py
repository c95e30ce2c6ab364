"""Shows progress to people: a live view in a terminal, lines elsewhere, and a log file.

Knows messages, and nothing of processes or databases.
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
from lrsearch.events import Event, Listener
from lrsearch.messages import TrialProgress
from lrsearch.progress.lines import Lines
from lrsearch.progress.listeners import broadcast
from lrsearch.progress.state import ProgressState


@contextmanager
def show_progress(
    tracker: Listener | None = None,
    *,
    quiet: bool = False,
    verbose: bool = False,
    log_file: str | Path | None = None,
    stream: TextIO | None = None,
) -> Iterator[Listener]:
    """Yield a listener that shows progress on `stream` (standard error).

    A terminal gets a live view, other streams get a line per finished trial. `quiet`
    shows nothing, `verbose` also the workers' output. All events except progress within
    a trial are appended to `log_file`, one JSON object per line. `tracker` hears all
    events.
    """
    stream = sys.stderr if stream is None else stream
    with ExitStack() as stack:
        listeners: dict[str, Listener] = (
            {} if tracker is None else {"the tracker": tracker}
        )
        if log_file is not None:
            listeners["the log file"] = stack.enter_context(_open_log(Path(log_file)))
        if not quiet:
            listeners |= _open_view(stack, stream, verbose=verbose)
        yield broadcast(listeners)


def _open_view(
    stack: ExitStack, stream: TextIO, *, verbose: bool
) -> dict[str, Listener]:
    state = ProgressState()
    out: Callable[[str], None] = partial(print, file=stream, flush=True)
    width: Callable[[], int] | None = None
    terminal = stream.isatty()
    if terminal:
        from lrsearch.progress.live import LiveView

        live = stack.enter_context(LiveView(state, stream))
        out, width = live.print, live.width
    lines = Lines(state, out, verbose=verbose, terse=terminal, width=width)
    return {"what progress is made of": state.handle, "progress on the terminal": lines}


@contextmanager
def _open_log(path: Path) -> Iterator[Listener]:
    try:
        # Unbuffered: bytes that could not be written would fail again on closing.
        file = path.open("ab", buffering=0)
    except OSError as error:
        allowed = f"a file that can be written ({error.strerror})"
        raise InvalidValue(
            "--log-file", got=str(path), allowed=allowed, fix="Give another one."
        ) from error

    def write(event: Event) -> None:
        if isinstance(event.message, TrialProgress):
            return  # several per second; the database has every epoch's values
        line = (json.dumps(event.to_json()) + "\n").encode()
        while line:
            line = line[file.write(line) :]

    try:
        yield write
    finally:
        # a network file system may report a full disk only on closing
        with suppress(OSError):
            file.close()
