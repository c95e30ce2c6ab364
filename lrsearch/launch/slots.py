"""One worker a core, or fewer with more threads each: measured, where a study is long enough to pay for it.

The workers that wait to begin are timed all at once, then the alternatives, each in processes of its own while the others rest.
The figures stay with the study, so that whoever goes on or attaches from the same machine does not measure again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.errors import Interrupted, LrSearchError
from lrsearch.launch.devices import Machine, Slot, plan_slots
from lrsearch.launch.events import Event, Listener
from lrsearch.launch.pool import Pool
from lrsearch.values import Json, StudyRecord

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

WORTH_SECONDS = 900.0  # of training ahead; measuring takes about ten, most of them TensorFlow's import
GAIN = 1.1  # over one worker a core, which loses less with a worker that dies
TIMED_SECONDS = 2.0
_MANY_CORES = 8  # from here on, workers of some threads are tried too
_SOME_THREADS = 4


def alternatives(machine: Machine, slots: Sequence[Slot], *, workers: int | None, engine: str) -> tuple[tuple[Slot, ...], ...]:
    """The machine's cores in fewer workers than `slots`.

    None where these are on a GPU or just one, or where the caller has chosen the `workers` or an `engine` that measures nothing.
    """
    if workers is not None or engine != "auto" or any(slot.gpu for slot in slots):
        return ()
    counts = (1, machine.cores // _SOME_THREADS) if machine.cores >= _MANY_CORES else (1,)
    return tuple(plan_slots(machine, devices="cpu", workers=count) for count in counts if count < len(slots))


@dataclass(frozen=True, kw_only=True)
class SlotChoice:
    """What there is to choose between for a study on this machine: the slots of a pool that is ready, and the others."""

    pool: Pool
    others: Sequence[Sequence[Slot]]
    ledger: Ledger
    study: StudyRecord
    listen: Listener

    @contextmanager
    def settled(self) -> Iterator[Pool]:
        """The pool that shall work: the one that is ready, or another that is faster by more than a tenth.

        Nothing is measured where there is no choice, or less than a quarter of an hour to train. Raises what workers raise.
        """
        with ExitStack() as stack:
            known = self.ledger.calibration(self.study.id, self._key) if self.others else None
            if known is not None:
                yield self._as_known(known["workers"], stack)
            elif self.others and self._worth_it():
                yield self._fastest(stack)
            else:
                yield self.pool

    @property
    def _key(self) -> str:
        return f"{self.pool.config.host}/cpu/workers"

    def _as_known(self, workers: int, stack: ExitStack) -> Pool:
        chosen = next((each for each in self.others if len(each) == workers), None)
        if chosen is None:
            return self.pool
        self.pool.dismiss()
        return stack.enter_context(self.pool.like(chosen, self.listen))

    def _worth_it(self) -> bool:
        answers = self.pool.ask({"do": "open", "study": self.study.name}, first=True)
        done = self.ledger.counts(self.study.id).done
        figures = answers[0]["figures"] if answers else {}
        return seconds_ahead(self.study, figures, done=done, workers=len(self.pool.slots)) >= WORTH_SECONDS

    def _fastest(self, stack: ExitStack) -> Pool:
        """Time them one after another; the fastest stays, the others are ended."""
        own = self._pace(self.pool)
        best, paces = self.pool, {named(self.pool.slots): own or 0.0}
        for slots in self.others if own else ():
            silent_at_first = _Gate(self.listen)
            other = stack.enter_context(self.pool.like(slots, silent_at_first))
            pace = self._pace(other) or 0.0
            if pace > max(GAIN * (own or 0.0), *paces.values()):
                best.dismiss()
                best = other
                silent_at_first.open(slots)
            else:
                other.dismiss()
            paces[named(slots)] = pace
        if own:
            self._keep(best, paces)
        return best

    def _pace(self, pool: Pool) -> float | None:
        """Batches a second of all its workers, training at once; None where one of them cannot say."""
        commands = (
            {"do": "open", "study": self.study.name},
            {"do": "pace", "seconds": 0.0},
            {"do": "pace", "seconds": TIMED_SECONDS},
        )
        try:
            *_, answers = [pool.ask(command) for command in commands]  # the second command traces what is not traced yet
        except Interrupted:
            raise
        except LrSearchError:
            if pool is self.pool:
                raise
            return None
        found = [each["batches"] for each in answers]
        return None if len(found) < len(pool.slots) or None in found else float(sum(found))

    def _keep(self, best: Pool, paces: Mapping[str, float]) -> None:
        chosen = named(best.slots)
        others = "; ".join(f"{name}: {pace:.5g}" for name, pace in paces.items() if name != chosen)
        reason = f"{chosen}: {paces[chosen]:.5g} batches a second; {others}"
        self.ledger.note_calibration(
            self.study.id, self._key, {"workers": len(best.slots), "paces": dict(paces), "reason": reason}
        )
        self.listen(Event(name="note", facts={"text": reason}))


class _Gate:
    """Passes events on once it is open."""

    def __init__(self, listen: Listener) -> None:
        self._listen, self._open = listen, False

    def __call__(self, event: Event) -> None:
        if self._open:
            self._listen(event)

    def open(self, slots: Sequence[Slot]) -> None:
        """From now on; listeners learn of the slots."""
        self._open = True
        self._listen(Event(name="pool.started", facts={"slots": [each.name for each in slots]}))


def seconds_ahead(study: StudyRecord, figures: Mapping[str, Json], *, done: int, workers: int) -> float:
    """About how long so many workers will train, by an engine's figures and the study's deadline; 0 without figures."""
    milliseconds = [float(each) for each in figures.get("milliseconds", {}).values()]
    if not milliseconds:
        return 0.0
    facts = study.plan.facts
    batches = facts.epochs * sum(facts.steps_per_epoch.values()) / len(facts.steps_per_epoch)
    trials = math.inf if study.trials is None else max(0, study.trials - done)
    until_deadline = math.inf if study.deadline is None else study.deadline - time.time()
    return min(until_deadline, trials * batches * min(milliseconds) / 1000 / workers)


def named(slots: Sequence[Slot]) -> str:
    """`2 workers of 1 thread`."""
    workers, threads = len(slots), slots[0].threads
    return f"{workers} worker{'s' * (workers > 1)} of {threads} thread{'s' * (threads > 1)}"
