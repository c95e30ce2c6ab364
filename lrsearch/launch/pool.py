"""A pool of worker processes, one per slot: starts, watches, replaces and stops them.

The main thread reads one inbox of the workers' messages and of signals. Knows no SQL:
`AttemptCloser` writes to the database when a worker has died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from shlex import quote
from typing import Self

from lrsearch.errors import (
    CallerError,
    EnvironmentProblem,
    Interrupted,
    LrSearchError,
    Refused,
    StudyBroken,
)
from lrsearch.events import Event, Listener
from lrsearch.launch.attempt_closer import AttemptCloser
from lrsearch.launch.child import Child, Exited, Inbox, Signalled
from lrsearch.launch.signals import Signals
from lrsearch.launch.slot_state import SlotState
from lrsearch.messages import (
    Broken,
    Inspect,
    Inspection,
    Interrupt,
    Load,
    Message,
    Output,
    PoolEnded,
    PoolStarted,
    Quit,
    Stopping,
    StudyInspected,
    TrialEnded,
    TrialStarted,
    Wake,
    Work,
    WorkerDied,
    WorkerDone,
    WorkerFailed,
    WorkerInterrupted,
    WorkerLeft,
    WorkerMessage,
    WorkerReady,
    WorkerSignalled,
    Working,
)
from lrsearch.progress.listeners import ignore
from lrsearch.setup.slots import Slot
from lrsearch.values import StudyState
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.stopping import TIME_IS_UP
from lrsearch.worker.wire import error_from_message

# From the first signal until workers that have not left are killed; 10 s in all are
# promised.
STOP_SECONDS = 7.0
# Workers that are still there so long before the time to leave are asked to leave.
_LEAVING_SECONDS = STOP_SECONDS + 1.0
POLL_SECONDS = 0.25

_TOO_LATE = "the time to leave came before the study's file was loaded."
_MORE_TIME = "Give it longer: --leave-by, or the time of the batch job."


class Pool:
    """Workers on `slots`; a context that leaves no process behind."""

    def __init__(
        self,
        slots: Sequence[Slot],
        config: WorkerConfig,
        listen: Listener,
        *,
        trial_timeout: float | None = None,
    ) -> None:
        self._config = config
        self._states = [SlotState(slot=slot) for slot in slots]
        self._listen, self._trial_timeout = listen, trial_timeout
        self._inbox: Inbox = SimpleQueue()
        self._signals = Signals(
            first=lambda number: self._inbox.put(Signalled(number)),
            second=self._kill_all,
        )
        self._study: str | None = None
        self._closer: AttemptCloser | None = None
        self._inspection: Inspection | None = None
        self._failure: LrSearchError | None = None
        # when workers that have not left are killed, monotonic
        self._stop_at: float | None = None
        self._signal: int | None = None
        self._finished = False  # whether a worker has found nothing left
        self._time_is_up = False  # of this pool; the study may go on elsewhere
        # called a few times a second while waiting
        self.poll: Callable[[], None] = lambda: None
        self.first_listener: Listener = ignore  # gets workers' messages before `listen`

    # -- life --------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._signals.__enter__()
        for state in self._states:
            self._start(state)
        self._send(PoolStarted(slots=tuple(state.slot.name for state in self._states)))
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self._kill_all()
            self._drain()
        finally:
            self._signals.__exit__()

    def inspect(self) -> Inspection:
        """Inspect the study file in the first worker, while the others load it and its data.

        Raises the worker's error.
        """
        inspector = self._states[0]
        assert inspector.child is not None
        for child in self._children():  # all of them time steps, side by side
            inspects = child is inspector.child or self._config.times
            child.send(Inspect() if inspects else Load())
        while self._inspection is None:
            self._step()
            if self._signal is not None:
                raise Interrupted(self._signal, "interrupted before the study began")
            if self._time_is_up:
                raise EnvironmentProblem(_TOO_LATE, fix=_MORE_TIME)
            if self._failure is not None:
                raise self._failure
            if inspector.child is None:
                text = (
                    f"the worker that loaded the study file died ({inspector.ending})"
                )
                shown = "\n".join(filter(None, [inspector.reason, inspector.tail]))
                fix = f"See what doctor says: lrsearch doctor {quote(str(self._config.study_file))}"
                raise StudyBroken(text, fix=fix, traceback_text=shown)
        return self._inspection

    def work(self, study: str, closer: AttemptCloser) -> None:
        """Let every worker train `study` until nothing is left.

        Raises Interrupted after a signal, StudyBroken where the study's own code fails,
        EnvironmentProblem where no worker stays alive, or the error that a worker has
        reported.
        """
        self._study, self._closer = study, closer
        for state in self._states:
            if state.child is None:  # the worker died while it loaded
                self._start(state)
            elif state.child.ready:
                self._put_to_work(state.child)
        while self._children() or any(state.due is not None for state in self._states):
            self._step()
        why = "interrupted" if self._signal is not None else str(self._failure or "")
        self._send(PoolEnded(reason=why))
        if self._failure is not None:
            raise self._failure
        if self._signal is not None:
            text = f"interrupted; running trials are back in the queue of {study!r}"
            raise Interrupted(self._signal, text)
        self._refuse_unfinished(study, closer.state())

    def _refuse_unfinished(self, study: str, state: StudyState | None) -> None:
        """Raise an error where all workers have left, but the study is broken or still open."""
        if state is StudyState.BROKEN:
            why = f"study {study!r} is broken: its first trials all failed alike."
            raise StudyBroken(why, fix=f"See: lrsearch trials {quote(study)}")
        idle = self._config.until != "done" and self._finished
        if state is not StudyState.OPEN or idle or self._time_is_up:
            return
        if not self._finished:
            # prefer a worker that reported an error, then one that printed something
            last = min(
                self._states, key=lambda state: (not state.reason, not state.tail)
            )
            raise EnvironmentProblem(
                f"no worker stays alive. The last one {last.last_words}"
            )
        text = f"study {study!r} is not done, but its workers have left."
        raise EnvironmentProblem(
            text, fix=f"Go on with: lrsearch attach {quote(study)}"
        )

    def interrupt(self, reason: str = "interrupted") -> None:
        """Let workers put running trials back; after STOP_SECONDS they are killed."""
        if self._stop_at is not None:
            return
        self._stop_at = time.monotonic() + STOP_SECONDS
        for state in self._states:
            state.due = None
            if state.child is not None:
                state.child.send(Interrupt(reason=reason))
                # the worker is loading: nothing to wait for
                if not state.child.attempts:
                    state.child.kill("interrupted")

    # -- one step ----------------------------------------------------------------------

    def _step(self) -> None:
        """Handle an item of the inbox, or wait a moment for one; then look at the clocks."""
        try:
            match self._inbox.get(timeout=POLL_SECONDS):
                case Signalled(number):
                    self._on_signal(number)
                case child, Exited(code):
                    self._on_exit(child, code)
                case _, StudyInspected(inspection=inspection):
                    self._inspection = inspection
                case child, WorkerFailed() as failed:
                    self._on_error(child, failed)
                case child, message:
                    self._on_message(child, message)
                    event = Event(message=message, slot=child.slot.name)
                    self.first_listener(event)
                    self._listen(event)
        except Empty:
            pass
        for child in self._children():
            self._pass_output(child)
        self._watch_clocks()
        self.poll()

    def _on_message(self, child: Child, message: WorkerMessage) -> None:
        match message:
            case WorkerReady():
                child.ready = True
                if self._study is not None:
                    self._put_to_work(child)
            case Working(worker=worker):
                child.worker_id = worker
            case TrialStarted(trial_id=trial, attempt=attempt):
                child.attempts[trial, attempt] = time.monotonic()
            case TrialEnded():
                self._on_ended(child, message)
            case Broken(reason=reason, traceback=trace):
                text = f"the first trials all failed alike: {reason}"
                study = quote(self._study or "")
                fix = f"Mend the study file, then: lrsearch retry {study} --failed"
                self._fail(StudyBroken(text, fix=fix, traceback_text=trace))
            case WorkerDone():
                child.done = self._finished = True
                child.send(Quit())
            case WorkerSignalled(signal=name):
                child.signalled = child.signalled if child.done else name
            case WorkerInterrupted() | WorkerLeft():
                # the worker has put back all attempts known here
                child.done = not child.attempts
                self._time_is_up |= isinstance(message, WorkerLeft)
                child.send(Quit())

    def _on_signal(self, number: int) -> None:
        self._signal = number
        self._send(Stopping(signal=number, seconds=STOP_SECONDS))
        self.interrupt()

    def _on_ended(self, child: Child, ended: TrialEnded) -> None:
        child.attempts.pop((ended.trial_id, ended.attempt), None)
        if ended.status.terminal:
            self._find_state(child).reset_deaths()
        # A worker that waits for others' trials would sleep up to a second more.
        for other in self._children():
            if other is not child and other.working and not other.attempts:
                other.send(Wake())

    def _on_error(self, child: Child, failed: WorkerFailed) -> None:
        """End the run for an error that every worker would meet.

        These are errors of the file or the database, and any crash before the study was
        inspected. Any later crash ends one worker, which is replaced.
        """
        error = error_from_message(failed)
        child.error = failed
        shared = isinstance(error, CallerError | Refused | EnvironmentProblem)
        if shared or not (child.working or self._inspection):
            self._fail(error)

    def _on_exit(self, child: Child, code: int) -> None:
        state = self._find_state(child)
        self._pass_output(child)
        state.record_end(child, code)
        child.close()
        if child.worker_id is not None and not child.done:
            ended = f"its worker ended by {state.ending}"
            self._close_attempts(child, child.verdict or child.reason or ended)
        left = child.done and not child.signalled
        ends = (
            self._time_is_up or self._stop_at is not None or self._failure is not None
        )
        if left or ends or self._study is None:
            return
        self._replace(state, child)

    def _close_attempts(self, child: Child, why: str) -> None:
        """Close the worker's attempts in the ledger: the worker's last messages may be lost."""
        assert self._closer is not None
        assert child.worker_id is not None
        interrupted = self._stop_at is not None or child.signalled
        close = self._closer.put_back if interrupted else self._closer.lose
        close(child.worker_id, why)

    def _replace(self, state: SlotState, child: Child) -> None:
        """Start another worker after a while.

        The slot stays empty where its workers get nowhere, or nothing is left to train.
        """
        delay = state.count_death(child)
        if self._finished and self._is_over():
            delay = None
        state.due = None if delay is None else time.monotonic() + delay
        died = WorkerDied(
            ending=state.ending,
            reason=state.reason,
            tail=state.tail,
            retry_seconds=delay,
        )
        self._listen(Event(message=died, slot=state.slot.name))

    def _is_over(self) -> bool:
        """Whether nothing is left to train; False while the ledger does not answer."""
        assert self._closer is not None
        with suppress(LrSearchError):
            return self._closer.state() is not StudyState.OPEN
        return False

    def _watch_clocks(self) -> None:
        now, leave_by = time.monotonic(), self._config.leave_by
        if leave_by is not None and time.time() >= leave_by - _LEAVING_SECONDS:
            self._time_is_up = True
            self.interrupt(TIME_IS_UP)
        if self._stop_at is not None and now >= self._stop_at:
            self._kill_all("interrupted while a long call held it")
        for state in self._states:
            if state.due is not None and now >= state.due:
                state.due = None
                self._start(state)
            if state.child is not None and self._trial_timeout is not None:
                _kill_hung(state.child, now, self._trial_timeout)

    # -- helpers -----------------------------------------------------------------------

    def _start(self, state: SlotState) -> None:
        state.child = Child(state.slot, self._config, self._inbox)

    def _put_to_work(self, child: Child) -> None:
        child.working = True
        assert self._study is not None
        child.send(Work(study=self._study))

    def _fail(self, error: LrSearchError) -> None:
        self._failure = self._failure or error
        if self._study is not None:
            self.interrupt(str(error))

    def _children(self) -> list[Child]:
        return [state.child for state in self._states if state.child is not None]

    def _find_state(self, child: Child) -> SlotState:
        return next(state for state in self._states if state.slot is child.slot)

    def _kill_all(self, verdict: str = "") -> None:
        for child in self._children():
            child.kill(verdict)

    def _drain(self) -> None:
        """Wait until every killed child is gone."""
        while self._children():
            match self._inbox.get():
                case child, Exited():
                    self._find_state(child).child = None
                    child.close()

    def _pass_output(self, child: Child) -> None:
        for line in child.read_output():
            self._listen(Event(message=Output(text=line), slot=child.slot.name))

    def _send(self, message: Message) -> None:
        self._listen(Event(message=message))


def _kill_hung(child: Child, now: float, limit: float) -> None:
    # The limit is for a trial that trains alone: n trials at once may take n times as
    # long.
    if any(
        now - began > limit * len(child.attempts) for began in child.attempts.values()
    ):
        child.kill(f"it ran longer than the trial timeout of {limit:g} s")
