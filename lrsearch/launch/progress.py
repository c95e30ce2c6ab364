"""Progress for people: a live view in a terminal, one line a finished trial elsewhere, and a log file of JSON lines.

Listens to events only; knows nothing of processes or databases.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TextIO

from lrsearch.errors import InvalidValue
from lrsearch.launch.events import Event, Listener, to_all
from lrsearch.launch.picture import Picture, duration, number
from lrsearch.report.layout import shorten
from lrsearch.values import Kind, Origin, Status

if TYPE_CHECKING:
    from lrsearch.launch.live import LiveView

_STATUS = {
    Status.DIVERGED: "diverged",
    Status.PRUNED: "pruned",
    Status.FAILED: "failed",
    Status.INTERRUPTED: "put back",
    Status.LOST: "lost",
}
_LEAST_ROOM = 12  # characters of a setting
_LOGGED_NOT = frozenset({"trial.progress"})  # several a second; an epoch's values are in the ledger


@contextmanager
def watching(
    *, quiet: bool = False, verbose: bool = False, log_file: str | Path | None = None, stream: TextIO | None = None
) -> Iterator[Listener]:
    """A listener for `run_study` that shows progress on `stream` (standard error).

    Live where `stream` is a terminal, else a line a finished trial; `quiet` shows nothing, `verbose` also what workers
    print. `log_file` gets every event but progress within a trial, one JSON object a line, appended.
    """
    stream = sys.stderr if stream is None else stream
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if log_file is not None:
            listeners.append(stack.enter_context(_log(Path(log_file))))
        if not quiet:
            listeners.append(_view(stack, stream, verbose=verbose))
        yield to_all(listeners)


def _view(stack: ExitStack, stream: TextIO, *, verbose: bool) -> Listener:
    picture = Picture()
    if stream.isatty():
        from lrsearch.launch.live import LiveView

        live: LiveView = stack.enter_context(LiveView(picture, stream))
        lines = Lines(picture, live.print, verbose=verbose, terse=True, width=live.width)
        return to_all([picture.take, lines, live])
    return to_all([picture.take, Lines(picture, lambda text: print(text, file=stream, flush=True), verbose=verbose)])


@contextmanager
def _log(path: Path) -> Iterator[Listener]:
    try:
        file = path.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise InvalidValue("--log-file", got=str(path), allowed=f"a file that can be written ({error.strerror})") from error
    with file:

        def write(event: Event) -> None:
            if event.name not in _LOGGED_NOT:
                file.write(json.dumps(event.to_json(), default=str) + "\n")

        yield write


class Lines:
    """Turns events into lines. Told after the picture has taken the event in."""

    def __init__(
        self,
        picture: Picture,
        out: Callable[[str], None],
        *,
        verbose: bool = False,
        terse: bool = False,
        width: Callable[[], int] | None = None,
    ) -> None:
        self._picture, self._print, self._verbose = picture, out, verbose
        self._width = width  # of the terminal now; None: a setting is never cut
        self._terse = terse  # beside a live view, which shows the rest
        self._estimated = False

    def __call__(self, event: Event) -> None:
        line = self._line(event)
        if line:
            self._print(line)
        if event.name == "trial.ended" and not self._estimated:
            self._estimate(event)

    def _line(self, event: Event) -> str:
        writer = self._WRITERS.get(event.name)
        return writer(self, event) if writer is not None else ""

    def _started(self, event: Event) -> str:
        if not self._verbose or self._terse:
            return ""
        return f"{event.slot}: {event.facts['label']} begins: {event.facts['short']}"

    def _retests(self, event: Event) -> str:
        trials, seeds = event.facts["trials"], event.facts["seeds"]
        return f"the search is over; {len(trials)} settings are retested on {seeds} fresh seeds each" if trials and seeds else ""

    def _note(self, event: Event) -> str:
        return str(event.facts["text"])

    def _output(self, event: Event) -> str:
        return f"{event.slot}| {event.facts['text']}" if self._verbose else ""

    def _stopping(self, event: Event) -> str:
        del event
        return "stopping: running trials are put back (again: end at once)"

    def _died(self, event: Event) -> str:
        delay = event.facts["retry_seconds"]
        then = "its slot is given up" if delay is None else f"another starts in {duration(delay)}"
        tail = str(event.facts["tail"])
        last = tail if self._verbose or delay is None else "\n".join(tail.splitlines()[-1:])
        return f"worker {event.slot} died ({event.facts['ending']}); {then}" + (f"\n{last}" if last else "")

    def _study(self, event: Event) -> str:
        del event  # the picture has it
        picture = self._picture
        budget = f"{picture.trials} trials" if picture.trials is not None else "as many trials as the time allows"
        slots = len(picture.rows)
        already = f", {picture.done} done already" if picture.done else ""
        return f"study {picture.study}: {budget}{already}, {slots} slot{'s' * (slots != 1)}, by {picture.objective}"

    def _ended(self, event: Event) -> str:
        facts, picture = event.facts, self._picture
        status = Status(facts["status"])
        what = f"{number(facts['value'])}" if status is Status.COMPLETE else _STATUS[status]
        mark = ""
        if facts["kind"] == Kind.SEARCH and status is Status.COMPLETE and picture.best is not None:
            mark = "  best so far" if picture.best.number == facts["number"] else ""
        count = f"[{picture.done}/{picture.trials or '-'}] " if facts["kind"] == Kind.SEARCH and status.terminal else ""
        short = "yours: " + facts["short"] if facts["origin"] == Origin.YOURS else facts["short"]
        why = f"  ({facts['reason']})" if status in {Status.FAILED, Status.LOST} and facts["reason"] else ""
        head, tail = f"{count}{facts['label']:<9} {what:<8} ", f"  {duration(facts['seconds'])}{mark}"
        room = self._width() - len(head) - len(tail) if self._width is not None else None
        return head + (short if room is None else shorten(short, max(_LEAST_ROOM, room))) + tail + why

    def _estimate(self, event: Event) -> None:
        """After the first trial: how long the rest will take."""
        left = self._picture.seconds_left(event.at)
        if left is None or not self._picture.trial_seconds:
            return
        self._estimated = True
        slots, at_once = len(self._picture.rows), self._picture.at_once
        many = f", {at_once} trials at once" if at_once > slots else ""
        a_trial = duration(self._picture.mean_seconds)
        self._print(f"{a_trial} a trial, {slots} slot{'s' * (slots != 1)}{many}: about {duration(left)}")

    _WRITERS: ClassVar[Mapping[str, Callable[[Lines, Event], str]]] = {
        "study": _study,
        "trial.started": _started,
        "trial.ended": _ended,
        "retests.planned": _retests,
        "note": _note,
        "output": _output,
        "worker.died": _died,
        "stopping": _stopping,
    }
