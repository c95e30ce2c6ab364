"""A pool of worker processes, one for each slot: started, watched, replaced when they die, stopped.

The main thread reads one inbox: messages of the children, and signals. Knows no SQL: what must be
written about an attempt whose worker died goes through `AttemptCloser`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from shlex import quote
from types import TracebackType
from typing import Self

from lrsearch.errors import (
    CallerError,
    EnvironmentProblem,
    Interrupted,
    LrSearchError,
    Refused,
    StudyBroken,
)
from lrsearch.launch.attempt_closer import AttemptCloser
from lrsearch.launch.child import Child, Exited, Inbox, Signalled
from lrsearch.launch.signals import Signals
from lrsearch.launch.slot_state import SlotState
from lrsearch.messages import (
    Broken,
    Event,
    Inspect,
    Inspection,
    Interrupt,
    Listener,
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
    WorkerMessage,
    WorkerReady,
    WorkerSignalled,
    Working,
)
from lrsearch.progress.listeners import silent
from lrsearch.setup.slots import Slot
from lrsearch.values import StudyState
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.wire import error_from_message

# from the first signal to the end of what has not left by itself; promised: 10 in all
STOP_SECONDS = 7.0
TICK_SECONDS = 0.25


class Pool:
    """Workers on `slots`. A context: on leaving it, no process is left."""

    def __init__(
        self,
        slots: Sequence[Slot],
        config: WorkerConfig,
        listen: Listener,
        *,
        trial_timeout: float | None = None,
    ) -> None:
        self.slots, self.config = tuple(slots), config
        self._states = [SlotState(slot=slot) for slot in slots]
        self._listen, self._trial_timeout = listen, trial_timeout
        self._inbox: Inbox = SimpleQueue()
        self._signals = Signals(first=self._hear_signal, second=self._kill_all)
        self._study: str | None = None
        self._closer: AttemptCloser | None = None
        self._facts: Inspection | None = None
        self._failure: LrSearchError | None = None
        self._stop_at: float | None = None  # when what is left is killed, monotonic
        self._signal: int | None = None
        self._finished = False  # some worker found nothing left
        self.tick: Callable[[], None] = lambda: None  # called a few times a second while waiting
        self.before: Listener = silent  # hears what workers say before the listener does

    # -- life --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._signals.__enter__()
        for state in self._states:
            self._start(state)
        self._tell(PoolStarted(slots=tuple(state.slot.name for state in self._states)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._kill_all()
            self._drain()
        finally:
            self._signals.__exit__(kind, error, trace)

    def inspect(self) -> Inspection:
        """What the first worker learns of the study file, while the others load it and its data.

        Raises what it raised.
        """
        inspector = self._states[0]
        assert inspector.child is not None
        for child in self._children():  # all of them where steps are timed: side by side
            looks = child is inspector.child or self.config.times
            child.tell(Inspect() if looks else Load())
        while self._facts is None:
            self._step()
            if self._signal is not None:
                raise Interrupted(self._signal, "interrupted before the study began")
            if self._failure is not None:
                raise self._failure
            if inspector.child is None:
                text = f"the worker that loaded the study file died ({inspector.ending})"
                raise StudyBroken(
                    text, traceback_text="\n".join(filter(None, [inspector.reason, inspector.tail]))
                )
        return self._facts

    def work(self, study: str, closer: AttemptCloser) -> None:
        """Let every worker train `study` until nothing is left.

        Raises Interrupted after a signal, StudyBroken where the study's own code fails,
        EnvironmentProblem where no worker stays alive, or the error that a worker reported.
        """
        self._study, self._closer = study, closer
        for state in self._states:
            if state.child is None:  # it died loading
                self._start(state)
            elif state.child.ready:
                self._put_to_work(state.child)
        while self._children() or any(state.due is not None for state in self._states):
            self._step()
        why = "interrupted" if self._signal is not None else str(self._failure or "")
        self._tell(PoolEnded(reason=why))
        if self._failure is not None:
            raise self._failure
        if self._signal is not None:
            raise Interrupted(
                self._signal, f"interrupted; running trials are back in the queue of {study!r}"
            )
        self._check_over(study, closer.state())

    def _check_over(self, study: str, state: StudyState | None) -> None:
        """All workers have left: raise what there is to say, unless the ledger says that the study
        is over.
        """
        if state is StudyState.BROKEN:
            see = f"See: lrsearch trials {quote(study)}"
            raise StudyBroken(
                f"study {study!r} is broken: its first trials all failed alike. {see}"
            )
        idle = self.config.until == "idle" and self._finished
        if state is not StudyState.OPEN or idle:
            return
        if not self._finished:
            raise EnvironmentProblem(f"no worker stays alive. The last one {self._last_words()}")
        more = f"Go on with: lrsearch attach {quote(study)}"
        raise EnvironmentProblem(f"study {study!r} is not done, but its workers have left. {more}")

    def interrupt(self, reason: str = "interrupted") -> None:
        """Let running trials be put back, and end what has not left a few seconds later."""
        if self._stop_at is not None:
            return
        self._stop_at = time.monotonic() + STOP_SECONDS
        for state in self._states:
            state.due = None
            if state.child is not None:
                state.child.tell(Interrupt(reason=reason))
                if not state.child.holds:  # it is loading: nothing to wait for
                    state.child.kill("interrupted")

    def _hear_signal(self, number: int) -> None:
        self._inbox.put(Signalled(number))

    # -- one step ----------------------------------------------------------------------------------

    def _step(self) -> None:
        """Take what is in the inbox, or wait a moment for it; then look at the clocks."""
        try:
            match self._inbox.get(timeout=TICK_SECONDS):
                case Signalled(number):
                    self._on_signal(number)
                case child, Exited(code):
                    self._on_exit(child, code)
                case _, StudyInspected(inspection=found):
                    self._facts = found
                case child, WorkerFailed() as failed:
                    self._on_error(child, failed)
                case child, message:
                    self._on_message(child, message)
                    event = Event(message=message, slot=child.slot.name)
                    self.before(event)
                    self._listen(event)
        except Empty:
            pass
        self._hear_output()
        self._watch_clocks()
        self.tick()

    def _on_message(self, child: Child, message: WorkerMessage) -> None:
        match message:
            case WorkerReady():
                self._on_ready(child)
            case Working(worker=worker):
                child.worker_id = worker
            case TrialStarted(trial_id=trial, attempt=attempt):
                child.holds[trial, attempt] = time.monotonic()
            case TrialEnded():
                self._on_ended(child, message)
            case Broken(reason=reason, traceback=trace):
                text = f"the first trials all failed alike: {reason}"
                self._fail(StudyBroken(text, traceback_text=trace))
            case WorkerDone():
                child.done = self._finished = True
                child.tell(Quit())
            case WorkerSignalled(signal=name):
                child.signalled = child.signalled if child.done else name
            case WorkerInterrupted():
                child.done = not child.holds  # it put back all it held, as far as is known here

    def _on_signal(self, number: int) -> None:
        self._signal = number
        self._tell(Stopping(signal=number, seconds=STOP_SECONDS))
        self.interrupt()

    def _on_ready(self, child: Child) -> None:
        child.ready = True
        if self._study is not None:
            self._put_to_work(child)

    def _on_ended(self, child: Child, ended: TrialEnded) -> None:
        child.holds.pop((ended.trial_id, ended.attempt), None)
        if ended.status.terminal:
            self._state_of(child).trial_ended()
        # one that waits for the others' ends need not sleep its second out
        for other in self._children():
            if other is not child and other.working and not other.holds:
                other.tell(Wake())

    def _on_error(self, child: Child, failed: WorkerFailed) -> None:
        """An error that the same file or database would give to every worker ends the run, and so
        does a crash before anybody has seen the study; a later one is a death like others.
        """
        error = error_from_message(failed)
        child.error = failed
        if isinstance(error, (CallerError, Refused, EnvironmentProblem)) or not (
            child.working or self._facts
        ):
            self._fail(error)

    def _on_exit(self, child: Child, code: int) -> None:
        state = self._state_of(child)
        self._hear_output_of(child)
        state.record_end(child, code)
        child.close()
        if child.worker_id is not None and not child.done:
            ended = f"its worker ended by {state.ending}"
            self._close_attempts(child, child.verdict or child.reason or ended)
        left = child.done and not child.signalled
        if left or self._stop_at is not None or self._failure is not None or self._study is None:
            return
        self._replace(state, child)

    def _close_attempts(self, child: Child, why: str) -> None:
        """Close what the ledger says it held: its own last words may have died with it."""
        assert self._closer is not None
        assert child.worker_id is not None
        asked = self._stop_at is not None or child.signalled
        close = self._closer.put_back if asked else self._closer.lose
        close(child.worker_id, why)

    def _replace(self, state: SlotState, child: Child) -> None:
        """Start another after a while, unless this slot's workers get nowhere, or the ledger has
        nothing left to do.
        """
        delay = state.count_death(child)
        if self._finished and self._over():
            delay = None
        state.due = None if delay is None else time.monotonic() + delay
        died = WorkerDied(
            ending=state.ending, reason=state.reason, tail=state.tail, retry_seconds=delay
        )
        self._listen(Event(message=died, slot=state.slot.name))

    def _over(self) -> bool:
        """Whether the ledger says that nothing is left to do; not where it cannot be asked."""
        assert self._closer is not None
        with suppress(LrSearchError):
            return self._closer.state() is not StudyState.OPEN
        return False

    def _watch_clocks(self) -> None:
        now = time.monotonic()
        if self._stop_at is not None and now >= self._stop_at:
            self._kill_all("interrupted while a long call held it")
        for state in self._states:
            if state.due is not None and now >= state.due:
                state.due = None
                self._start(state)
            if state.child is not None and self._trial_timeout is not None:
                self._kill_hung(state.child, now, self._trial_timeout)

    def _kill_hung(self, child: Child, now: float, limit: float) -> None:
        # The limit is for a trial alone: as many at once may take as many times as long.
        if any(now - began > limit * len(child.holds) for began in child.holds.values()):
            child.kill(f"it ran longer than the trial timeout of {limit:g} s")

    # -- small things ------------------------------------------------------------------------------

    def _start(self, state: SlotState) -> None:
        state.child = Child(state.slot, self.config, self._inbox)

    def _put_to_work(self, child: Child) -> None:
        child.working = True
        assert self._study is not None
        child.tell(Work(study=self._study))

    def _fail(self, error: LrSearchError) -> None:
        self._failure = self._failure or error
        if self._study is not None:
            self.interrupt(str(error))

    def _children(self) -> list[Child]:
        return [state.child for state in self._states if state.child is not None]

    def _state_of(self, child: Child) -> SlotState:
        return next(state for state in self._states if state.slot is child.slot)

    def _kill_all(self, verdict: str = "") -> None:
        for child in self._children():
            child.kill(verdict)

    def _drain(self) -> None:
        """Wait until every child is gone; they were killed, so this is short."""
        while self._children():
            match self._inbox.get():
                case child, Exited():
                    self._state_of(child).child = None
                    child.close()

    def _hear_output(self) -> None:
        for child in self._children():
            self._hear_output_of(child)

    def _hear_output_of(self, child: Child) -> None:
        for line in child.printed():
            self._listen(Event(message=Output(text=line), slot=child.slot.name))

    def _last_words(self) -> str:
        """How a worker ended: one that told of an error, else one that printed something."""
        told = sorted(self._states, key=lambda state: (not state.reason, not state.tail))
        return told[0].last_words

    def _tell(self, message: Message) -> None:
        self._listen(Event(message=message))
