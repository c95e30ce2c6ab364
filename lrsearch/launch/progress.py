"""Progress for people: a live view in a terminal, one line a finished trial elsewhere, and a log
file of JSON lines.

Listens to events only; knows nothing of processes or databases.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, TextIO

from lrsearch.answer import Bill
from lrsearch.errors import InvalidValue
from lrsearch.launch.events import Event, Listener, to_all
from lrsearch.launch.picture import Picture, duration, number
from lrsearch.report.bill import bill_text
from lrsearch.report.layout import shorten
from lrsearch.report.words import counted
from lrsearch.values import Kind, Origin, Status

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
    picture = Picture()
    out: Callable[[str], None] = partial(print, file=stream, flush=True)
    width: Callable[[], int] | None = None
    terminal = stream.isatty()
    if terminal:
        from lrsearch.launch.live import LiveView

        live = stack.enter_context(LiveView(picture, stream))
        out, width = live.print, live.width
    lines = Lines(picture, out, verbose=verbose, terse=terminal, width=width)
    return {"what progress is made of": picture.take, "progress on the terminal": lines}


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
        if event.name in _LOGGED_NOT:
            return
        line = (json.dumps(event.to_json(), default=str) + "\n").encode()
        while line:
            line = line[file.write(line) :]

    try:
        yield write
    finally:
        with suppress(OSError):  # a network's file system may tell only here that the disk was full
            file.close()


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
        self._said: Bill | None = None  # once trials had shown their pace
        self._final = False  # said twice already

    def __call__(self, event: Event) -> None:
        line = self._line(event)
        if line:
            self._print(line)
        if event.name in {"trial.ended", "retests.planned"}:
            self._estimate(event)

    def _line(self, event: Event) -> str:
        writer = self._WRITERS.get(event.name)
        return writer(self, event) if writer is not None else ""

    def _started(self, event: Event) -> str:
        facts, epoch, update = (
            event.facts,
            event.facts.get("resumed_from"),
            event.facts.get("resumed_update"),
        )
        if self._terse or not (self._verbose or epoch or update):
            return ""
        how = f"goes on from epoch {epoch}, update {update}" if epoch or update else "begins"
        return f"{event.slot}: {facts['label']} {how}: {facts['short']}"

    def _retests(self, event: Event) -> str:
        facts = event.facts
        trials, seeds, left_out = (facts[name] for name in ("trials", "seeds", "left_out"))
        if not trials or not seeds:
            return ""
        are = "is" if len(trials) == 1 else "are"
        late = f"; {counted(left_out, 'more retest')} would end too late" if left_out else ""
        settings, on = counted(len(trials), "setting"), counted(seeds, "fresh seed")
        many = facts.get("retests", len(trials) * seeds)
        more = "" if many == len(trials) * seeds else f" or more, {many} in all"
        return f"the search is over; {settings} {are} retested on {on} each{more}{late}"

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
        tail, reason = str(event.facts["tail"]), str(event.facts.get("reason", ""))
        last = (
            tail
            if self._verbose or delay is None
            else ""
            if reason
            else "\n".join(tail.splitlines()[-1:])
        )
        return "\n".join(
            filter(
                None, [f"worker {event.slot} died ({event.facts['ending']}); {then}", reason, last]
            )
        )

    def _study(self, event: Event) -> str:
        picture = self._picture
        budget = (
            counted(picture.trials, "trial")
            if picture.trials is not None
            else "as many trials as the time allows"
        )
        already = f", {event.facts['done']} done already" if event.facts["done"] else ""
        return f"study {picture.study}: {budget}{already}, {counted(len(picture.rows), 'slot')}, by {picture.objective}"

    def _ended(self, event: Event) -> str:
        facts, picture = event.facts, self._picture
        status = Status(facts["status"])
        what = _STATUS.get(status) or (
            "no value" if facts["value"] is None else number(facts["value"])
        )
        mark = ""
        if facts["kind"] == Kind.SEARCH and status is Status.COMPLETE and picture.best is not None:
            mark = "  best so far" if picture.best.number == facts["number"] else ""
        count = (
            f"[{picture.done}/{picture.trials or '-'}] "
            if facts["kind"] == Kind.SEARCH and status.terminal
            else ""
        )
        short = "yours: " + facts["short"] if facts["origin"] == Origin.YOURS else facts["short"]
        why = (
            f"  ({facts['reason']})"
            if status in {Status.FAILED, Status.LOST} and facts["reason"]
            else ""
        )
        head, tail = (
            f"{count}{facts['label']:<9} {what:<8} ",
            f"  {duration(facts['seconds'])}{mark}",
        )
        room = self._width() - len(head) - len(tail) if self._width is not None else None
        return (
            head + (short if room is None else shorten(short, max(_LEAST_ROOM, room))) + tail + why
        )

    def _bill(self, event: Event) -> str:
        """Before the first trial begins."""
        picture = self._picture
        return "" if picture.left == 0 else bill_text(picture.bill(event.at), event.at)

    def _estimate(self, event: Event) -> None:
        """The bill once more when trials have shown their pace, and where time limits it, when the
        pace is much another.
        """
        picture = self._picture
        # a short study's trials may all have ended before its pace shows
        searched = event.name == "retests.planned"
        shown = picture.trial_seconds and (
            searched or picture.shows_pace or picture.forecast is None
        )
        if self._final or not shown or picture.left == 0:
            return
        bill = picture.bill(event.at)
        if self._said is not None and not (picture.paced and _misleads(self._said, bill)):
            return
        self._said, self._final = bill, self._said is not None or bill.limit_seconds is None
        self._print(f"{bill_text(bill, event.at)}; {duration(picture.mean_seconds)} a training")

    _WRITERS: ClassVar[Mapping[str, Callable[[Lines, Event], str]]] = {
        "study": _study,
        "bill": _bill,
        "trial.started": _started,
        "trial.ended": _ended,
        "retests.planned": _retests,
        "note": _note,
        "output": _output,
        "worker.died": _died,
        "stopping": _stopping,
    }


def _misleads(said: Bill, now: Bill) -> bool:
    """Whether a bill of what fits into the time has become much another one."""
    if said.limit_seconds is None or now.limit_seconds is None:
        return False
    return not 0.5 * (said.trainings or 0) <= (now.trainings or 0) <= 1.5 * (said.trainings or 0)
