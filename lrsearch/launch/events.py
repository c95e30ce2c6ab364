"""What a pool of workers tells its listeners: the workers' own events with their slot, and the pool's.

Beside those of `lrsearch.worker.events`:

pool.started     slots: names
study            study, objective, direction, trials, deadline, retest, best, yours: the study as it stands when work begins
counts           done, running, waiting, failed: now and then, the study's and not this pool's alone
answer           best, yours, seconds_left: the same, and also before the end of a trial is told that may have changed the best
output           text: a line that a worker printed
worker.died      ending, tail, retry_seconds
stopping         signal, seconds: running trials are being put back
pool.ended       reason

`best` and `yours` are null, or the answer's: number, value, short, state, seeds (0: a single training), evidence (in words).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lrsearch.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened."""

    name: str
    slot: str = ""  # empty for the pool's own
    facts: Mapping[str, Json] = field(default_factory=dict)
    at: float = field(default_factory=time.time)  # seconds since 1970

    def to_json(self) -> dict[str, Json]:
        return {"event": self.name, "at": self.at, **({"slot": self.slot} if self.slot else {}), **self.facts}


Listener: TypeAlias = Callable[[Event], None]


def to_all(listeners: Sequence[Listener]) -> Listener:
    """One listener that passes on to several."""

    def listen(event: Event) -> None:
        for each in listeners:
            each(event)

    return listen


def silent(event: Event) -> None:
    """A listener that says nothing."""
    del event
