"""Progress as lines: one per finished trial, and other news for people."""

from __future__ import annotations

from collections.abc import Callable

from lrsearch.answer import Bill
from lrsearch.answer.words import count_text
from lrsearch.events import Event
from lrsearch.messages import (
    Note,
    Output,
    RetestsPlanned,
    Stopping,
    StudyBegun,
    StudyBill,
    TrialEnded,
    TrialStarted,
    WorkerDied,
    WorkerLeft,
)
from lrsearch.progress.state import ProgressState, number
from lrsearch.report.bill import bill_text, duration
from lrsearch.report.layout import shorten
from lrsearch.values import Kind, Origin, Status

_STATUS = {
    Status.DIVERGED: "diverged",
    Status.PRUNED: "pruned",
    Status.FAILED: "failed",
    Status.INTERRUPTED: "put back",
    Status.LOST: "lost",
}
_LEAST_ROOM = 12  # characters of a setting

_ENDINGS = {
    Stopping.event: "stopping: running trials are put back (again: end at once)",
    WorkerLeft.event: "a worker leaves, since its time is up; running trials are saved",
}


class Lines:
    """Turns events into lines; receives each event after `ProgressState` has."""

    def __init__(
        self,
        state: ProgressState,
        out: Callable[[str], None],
        *,
        verbose: bool = False,
        terse: bool,
        width: Callable[[], int] | None,
    ) -> None:
        self._state, self._print, self._verbose = state, out, verbose
        self._width = width  # of the terminal now; None: settings are not cut
        self._terse = terse  # beside a live view, which shows the rest
        self._last_bill: Bill | None = None  # by the pace of ended trials
        self._final = False  # whether the last bill is printed
        self._notes: dict[str, str] = {}  # the slot that said each note first

    def __call__(self, event: Event) -> None:
        line = self._line(event)
        if line:
            self._print(line)
        if isinstance(event.message, TrialEnded | RetestsPlanned):
            self._print_bill(event)

    def _line(self, event: Event) -> str:
        """The line of a message; empty for a message that people need not read."""
        text = ""
        match event.message:
            case StudyBegun() as begun:
                text = self._study_line(begun)
            case StudyBill() if self._state.left != 0:
                text = bill_text(self._state.bill(event.at), event.at)
            case TrialStarted() as started:
                text = self._start_line(event.slot, started)
            case TrialEnded() as ended:
                text = self._end_line(ended)
            case RetestsPlanned() as planned:
                text = _retests_line(planned)
            case Note(text=note) if (
                self._notes.setdefault(note, event.slot) == event.slot
            ):
                # each worker finds the same note: that of the first one is shown
                text = note
            case Output(text=output) if self._verbose:
                text = f"{event.slot}| {output}"
            case WorkerDied() as died:
                text = self._death_line(event.slot, died)
            case Stopping() | WorkerLeft():
                text = _ENDINGS[event.message.event]
        return text

    def _start_line(self, slot: str, started: TrialStarted) -> str:
        epoch, update = started.resumed_from, started.resumed_update
        resumed = bool(epoch or update)
        if self._terse or not (self._verbose or resumed):
            return ""
        how = f"goes on from epoch {epoch}, update {update}" if resumed else "begins"
        return f"{slot}: {started.label} {how}: {started.short}"

    def _death_line(self, slot: str, died: WorkerDied) -> str:
        delay = died.retry_seconds
        then = (
            "its slot is given up"
            if delay is None
            else f"another starts in {duration(delay)}"
        )
        last = died.tail
        # the error, or the last line, is enough
        if not self._verbose and delay is not None:
            last = "" if died.reason else "\n".join(last.splitlines()[-1:])
        head = f"worker {slot} died ({died.ending}); {then}"
        return "\n".join(filter(None, [head, died.reason, last]))

    def _study_line(self, begun: StudyBegun) -> str:
        budget = "as many trials as the time allows"
        if begun.trials is not None:
            budget = count_text(begun.trials, "trial")
        already = f", {begun.done} done already" if begun.done else ""
        slots = count_text(len(self._state.rows), "slot")
        return f"study {begun.study}: {budget}{already}, {slots}, by {begun.objective}"

    def _end_line(self, ended: TrialEnded) -> str:
        state, status, search = self._state, ended.status, ended.kind is Kind.SEARCH
        what = _STATUS.get(status) or (
            "no value" if ended.value is None else number(ended.value)
        )
        best = state.best.number if state.best is not None else None
        leads = search and status is Status.COMPLETE and best == ended.number
        mark = "  best so far" if leads else ""
        count = (
            f"[{state.done}/{state.trials or '-'}] "
            if search and status.terminal
            else ""
        )
        short = f"yours: {ended.short}" if ended.origin is Origin.YOURS else ended.short
        failed = status in {Status.FAILED, Status.LOST} and ended.reason
        why = f"  ({ended.reason})" if failed else ""
        head = f"{count}{ended.label:<9} {what:<8} "
        tail = f"  {duration(ended.seconds)}{mark}"
        if self._width is not None:
            room = self._width() - len(head) - len(tail)
            short = shorten(short, max(_LEAST_ROOM, room))
        return head + short + tail + why

    def _print_bill(self, event: Event) -> None:
        """Print the bill again when ended trials give the pace.

        Where time limits the study, print the bill once more when the pace has changed
        much.
        """
        state = self._state
        # All trials of a short study may have ended before the pace is known.
        searched = isinstance(event.message, RetestsPlanned)
        shown = state.trial_seconds and (
            searched or state.shows_pace or state.forecast is None
        )
        if self._final or not shown or state.left == 0:
            return
        bill = state.bill(event.at)
        last = self._last_bill
        if last is not None and not (state.paced and _misleads(last, bill)):
            return
        self._last_bill = bill
        self._final = last is not None or bill.limit_seconds is None
        self._print(
            f"{bill_text(bill, event.at)}; {duration(state.mean_seconds)} a training"
        )


def _retests_line(planned: RetestsPlanned) -> str:
    """The retests that follow the search, in one line; empty where there are none."""
    settings, seeds = len(planned.trials), planned.seeds
    if not settings or not seeds:
        return ""
    are = "is" if settings == 1 else "are"
    more = (
        ""
        if planned.retests == settings * seeds
        else f" or more, {planned.retests} in all"
    )
    left_out = count_text(planned.left_out, "more retest")
    late = f"; {left_out} would end too late" if planned.left_out else ""
    fresh = count_text(seeds, "fresh seed")
    what = f"{count_text(settings, 'setting')} {are} retested on {fresh} each"
    return f"the search is over; {what}{more}{late}"


def _misleads(last: Bill, now: Bill) -> bool:
    """Whether the number of trainings that fit has changed by more than half."""
    if last.limit_seconds is None or now.limit_seconds is None:
        return False
    before, after = last.trainings or 0, now.trainings or 0
    return not 0.5 * before <= after <= 1.5 * before
