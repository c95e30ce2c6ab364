"""What a pool of workers tells its listeners: the workers' own events with their slot, and the
pool's.

Beside those of `lrsearch.worker.events`:

pool.started     slots: names
study            study, objective, direction, trials, trainings, done, deadline, retest, best, yours: the study as it
                 stands when work begins
bill             forecast: an `answer.Forecast` by a few timed steps before the first trial begins; null where none were timed
counts           ended, retests_ended, retests, running, waiting, failed, trials, trainings, deadline: now and then, the
                 study's and not this pool's alone; the first two are the labels of what has ended since the last time
answer           best, yours, seconds_left: the same, and also before the end of a trial is told that may have changed the best
output           text: a line that a worker printed
worker.died      ending, reason, tail, retry_seconds: how it ended, the error that it told of, the last that it printed
stopping         signal, seconds: running trials are being put back
pool.ended       reason

`best` and `yours` are null, or the answer's: number, value, short, state, seeds (0: a single
training), evidence (in words).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from lrsearch.errors import Interrupted
from lrsearch.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened."""

    name: str
    slot: str = ""  # empty for the pool's own
    facts: Mapping[str, Json] = field(default_factory=dict)
    at: float = field(default_factory=time.time)  # seconds since 1970

    def to_json(self) -> dict[str, Json]:
        return {
            "event": self.name,
            "at": self.at,
            **({"slot": self.slot} if self.slot else {}),
            **self.facts,
        }


Listener: TypeAlias = Callable[[Event], None]


def to_all(listeners: Mapping[str, Listener]) -> Listener:
    """One listener that passes on to several, each named for people, in this order.

    One that fails (a closed pipe, a full disk) is dropped, and the others hear so: training does
    not end with its progress.
    """
    left = dict(listeners)

    def listen(event: Event) -> None:
        for name, each in tuple(left.items()):
            if name not in left:  # it failed at the news of another's end
                continue
            try:
                each(event)
            except Interrupted:  # the second Ctrl-C, which came while a line was printed
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not worth the training
                del left[name]
                listen(_dropped(name, error))

    return listen


def _dropped(name: str, error: Exception) -> Event:
    why = (
        error.strerror
        if isinstance(error, OSError) and error.strerror
        else f"{type(error).__name__}: {error}"
    )
    return Event(name="note", facts={"text": f"{name} ends here ({why}); training goes on"})


def silent(event: Event) -> None:
    """A listener that says nothing."""
    del event
