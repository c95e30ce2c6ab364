"""A pool of worker processes, one a slot: started, given a study, watched, replaced when they die,
stopped without orphans.

The main thread reads one inbox: events of the children, and signals. Knows no SQL: what must be
written about an attempt whose worker died goes through `Undertaker`. Used alike by whoever starts a
study and by whoever attaches to one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from shlex import quote
from types import TracebackType
from typing import ClassVar, Protocol, Self

from lrsearch.errors import (
    CallerError,
    EnvironmentProblem,
    Interrupted,
    LrSearchError,
    Refused,
    StudyBroken,
)
from lrsearch.launch.child import Child, Inbox
from lrsearch.launch.events import Event, Listener, silent
from lrsearch.launch.post import Post
from lrsearch.launch.signals import Signals
from lrsearch.setup.slots import Slot
from lrsearch.values import Json, Status, StudyState
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.wire import raised
from lrsearch.worker.workshop import Inspection

# from the first signal to the end of what has not left by itself; promised: 10 in all
STOP_SECONDS = 7.0
TICK_SECONDS = 0.25


class Undertaker(Protocol):
    """Closes what a worker held that is gone, instead of waiting for its leases to lapse.

    Must not raise.
    """

    def lost(self, worker_id: int, reason: str) -> None:
        """The worker crashed or was killed: its attempts count as lost."""
        ...

    def put_back(self, worker_id: int, reason: str) -> None:
        """The worker was ended by an interruption: its attempts do not count."""
        ...

    def state(self) -> StudyState | None:
        """How the ledger says that the study stands; None where it was deleted.

        May raise what the ledger raises.
        """
        ...


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
        self._posts = [Post(slot=slot) for slot in slots]
        self._listen, self._trial_timeout = listen, trial_timeout
        self._inbox: Inbox = SimpleQueue()
        self._signals = Signals(first=self._hear_signal, second=self._kill_all)
        self._study: str | None = None
        self._undertaker: Undertaker | None = None
        self._facts: Inspection | None = None
        self._failure: LrSearchError | None = None
        self._stop_at: float | None = None  # when what is left is killed, monotonic
        self._signal: int | None = None
        self._finished = False  # some worker found nothing left
        self.tick: Callable[[], None] = lambda: None  # called a few times a second while waiting
        self.before: Listener = silent  # hears what workers say before the listener does

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._signals.__enter__()
        for post in self._posts:
            self._start(post)
        self._tell("pool.started", slots=[post.slot.name for post in self._posts])
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
        inspector = self._posts[0]
        assert inspector.child is not None
        for child in self._children():  # all of them where steps are timed: side by side
            looks = child is inspector.child or self.config.times
            child.tell({"do": "inspect" if looks else "load"})
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

    def work(self, study: str, undertaker: Undertaker) -> None:
        """Let every worker train `study` until nothing is left.

        Raises Interrupted after a signal, StudyBroken where the study's own code fails,
        EnvironmentProblem where no worker stays alive, or the error that a worker reported.
        """
        self._study, self._undertaker = study, undertaker
        for post in self._posts:
            if post.child is None:  # it died loading
                self._start(post)
            elif post.child.ready:
                self._put_to_work(post.child)
        while self._children() or any(post.due is not None for post in self._posts):
            self._step()
        self._tell(
            "pool.ended",
            reason="interrupted" if self._signal is not None else str(self._failure or ""),
        )
        if self._failure is not None:
            raise self._failure
        if self._signal is not None:
            raise Interrupted(
                self._signal, f"interrupted; running trials are back in the queue of {study!r}"
            )
        self._check_over(study, undertaker.state())

    def _check_over(self, study: str, state: StudyState | None) -> None:
        """All workers have left: raise what there is to say, unless the ledger says that the study
        is over.
        """
        if state is StudyState.BROKEN:
            raise StudyBroken(
                f"study {study!r} is broken: its first trials all failed alike. See: lrsearch trials {quote(study)}"
            )
        idle = self.config.until == "idle" and self._finished
        if state is not StudyState.OPEN or idle:
            return
        if not self._finished:
            raise EnvironmentProblem(f"no worker stays alive. The last one {self._last_words()}")
        raise EnvironmentProblem(
            f"study {study!r} is not done, but its workers have left. Go on with: lrsearch attach {quote(study)}"
        )

    def interrupt(self, reason: str = "interrupted") -> None:
        """Let running trials be put back, and end what has not left a few seconds later."""
        if self._stop_at is not None:
            return
        self._stop_at = time.monotonic() + STOP_SECONDS
        for post in self._posts:
            post.due = None
            if post.child is not None:
                post.child.tell({"do": "interrupt", "reason": reason})
                if not post.child.holds:  # it is loading: nothing to wait for
                    post.child.kill("interrupted")

    def _hear_signal(self, number: int) -> None:
        self._inbox.put((None, {"event": "signal", "number": number}))

    # -- one step --------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Take what is in the inbox, or wait a moment for it; then look at the clocks."""
        try:
            child, facts = self._inbox.get(timeout=TICK_SECONDS)
            self._take(child, facts)
        except Empty:
            pass
        self._hear_output()
        self._watch_clocks()
        self.tick()

    def _take(self, child: Child | None, facts: dict[str, Json]) -> None:
        name = facts.pop("event")
        if child is None:
            self._on_signal(facts["number"])
            return
        if (handler := self._HANDLERS.get(name)) is not None:
            handler(self, child, facts)
        if name not in {"exit", "facts", "error"}:
            event = Event(name=name, slot=child.slot.name, facts=facts)
            self.before(event)
            self._listen(event)

    def _on_signal(self, number: int) -> None:
        self._signal = number
        self._tell("stopping", signal=number, seconds=STOP_SECONDS)
        self.interrupt()

    def _on_ready(self, child: Child, facts: dict[str, Json]) -> None:
        del facts
        child.ready = True
        if self._study is not None:
            self._put_to_work(child)

    def _on_facts(self, child: Child, facts: dict[str, Json]) -> None:
        del child
        self._facts = Inspection.from_json(facts["inspection"])

    def _on_started(self, child: Child, facts: dict[str, Json]) -> None:
        child.holds[facts["trial_id"], facts["attempt"]] = time.monotonic()

    def _on_ended(self, child: Child, facts: dict[str, Json]) -> None:
        child.holds.pop((facts["trial_id"], facts["attempt"]), None)
        if Status(facts["status"]).terminal:
            self._post(child).trial_ended()
        # one that waits for the others' ends need not sleep its second out
        for other in self._children():
            if other is not child and other.working and not other.holds:
                other.tell({"do": "wake"})

    def _on_working(self, child: Child, facts: dict[str, Json]) -> None:
        child.worker_id = facts["worker"]

    def _on_broken(self, child: Child, facts: dict[str, Json]) -> None:
        del child
        text = f"the first trials all failed alike: {facts['reason']}"
        self._fail(StudyBroken(text, traceback_text=facts["traceback"]))

    def _on_done(self, child: Child, facts: dict[str, Json]) -> None:
        del facts
        child.done = self._finished = True
        child.tell({"do": "quit"})

    def _on_signalled(self, child: Child, facts: dict[str, Json]) -> None:
        if not child.done:
            child.signalled = facts["signal"]

    def _on_interrupted(self, child: Child, facts: dict[str, Json]) -> None:
        del facts
        child.done = not child.holds  # it put back all it held, as far as is known here

    def _on_error(self, child: Child, facts: dict[str, Json]) -> None:
        """An error that the same file or database would give to every worker ends the run, and so
        does a crash before anybody has seen the study; a later one is a death like others.
        """
        error = raised(facts)
        child.error = facts
        if isinstance(error, (CallerError, Refused, EnvironmentProblem)) or not (
            child.working or self._facts
        ):
            self._fail(error)

    def _on_exit(self, child: Child, facts: dict[str, Json]) -> None:
        post = self._post(child)
        self._hear_output_of(child)
        post.bury(child, facts["code"])
        child.close()
        if child.worker_id is not None and not child.done:
            self._bury(child, child.verdict or child.reason or f"its worker ended by {post.ending}")
        left = child.done and not child.signalled
        if left or self._stop_at is not None or self._failure is not None or self._study is None:
            return
        self._replace(post, child)

    def _bury(self, child: Child, why: str) -> None:
        """Close what the ledger says it held: its own last words may have died with it."""
        assert self._undertaker is not None
        assert child.worker_id is not None
        asked = self._stop_at is not None or child.signalled
        (self._undertaker.put_back if asked else self._undertaker.lost)(child.worker_id, why)

    def _replace(self, post: Post, child: Child) -> None:
        """Start another after a while, unless this slot's workers get nowhere, or the ledger has
        nothing left to do.
        """
        delay = post.died(child)
        if self._finished and self._over():
            delay = None
        post.due = None if delay is None else time.monotonic() + delay
        facts = {
            "ending": post.ending,
            "reason": post.reason,
            "tail": post.tail,
            "retry_seconds": delay,
        }
        self._listen(Event(name="worker.died", slot=post.slot.name, facts=facts))

    def _over(self) -> bool:
        """Whether the ledger says that nothing is left to do; not where it cannot be asked."""
        assert self._undertaker is not None
        with suppress(LrSearchError):
            return self._undertaker.state() is not StudyState.OPEN
        return False

    def _watch_clocks(self) -> None:
        now = time.monotonic()
        if self._stop_at is not None and now >= self._stop_at:
            self._kill_all("interrupted while a long call held it")
        for post in self._posts:
            if post.due is not None and now >= post.due:
                post.due = None
                self._start(post)
            if post.child is not None and self._trial_timeout is not None:
                self._kill_hung(post.child, now, self._trial_timeout)

    def _kill_hung(self, child: Child, now: float, limit: float) -> None:
        # The limit is for a trial alone: as many at once may take as many times as long.
        if any(now - began > limit * len(child.holds) for began in child.holds.values()):
            child.kill(f"it ran longer than the trial timeout of {limit:g} s")

    # -- small things ----------------------------------------------------------------------------------------------

    def _start(self, post: Post) -> None:
        post.child = Child(post.slot, self.config, self._inbox)

    def _put_to_work(self, child: Child) -> None:
        child.working = True
        child.tell({"do": "work", "study": self._study})

    def _fail(self, error: LrSearchError) -> None:
        self._failure = self._failure or error
        if self._study is not None:
            self.interrupt(str(error))

    def _children(self) -> list[Child]:
        return [post.child for post in self._posts if post.child is not None]

    def _post(self, child: Child) -> Post:
        return next(post for post in self._posts if post.slot is child.slot)

    def _kill_all(self, verdict: str = "") -> None:
        for child in self._children():
            child.kill(verdict)

    def _drain(self) -> None:
        """Wait until every child is gone; they were killed, so this is short."""
        while self._children():
            child, facts = self._inbox.get()
            if child is not None and facts["event"] == "exit":
                self._post(child).child = None
                child.close()

    def _hear_output(self) -> None:
        for child in self._children():
            self._hear_output_of(child)

    def _hear_output_of(self, child: Child) -> None:
        for line in child.printed():
            self._listen(Event(name="output", slot=child.slot.name, facts={"text": line}))

    def _last_words(self) -> str:
        """How the workers ended: of one that told of an error, else of one that printed something."""
        told = sorted(self._posts, key=lambda post: (not post.reason, not post.tail))
        return told[0].last_words

    def _tell(self, name: str, **facts: Json) -> None:
        self._listen(Event(name=name, facts=facts))

    _HANDLERS: ClassVar[Mapping[str, Callable[[Pool, Child, dict[str, Json]], None]]] = {
        "ready": _on_ready,
        "facts": _on_facts,
        "working": _on_working,
        "trial.started": _on_started,
        "trial.ended": _on_ended,
        "broken": _on_broken,
        "done": _on_done,
        "signalled": _on_signalled,
        "interrupted": _on_interrupted,
        "error": _on_error,
        "exit": _on_exit,
    }
