"""A slot of a pool through its generations of workers: how long to wait for the next one, and when
to give up. Knows no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from lrsearch.launch.child import Child
from lrsearch.setup.slots import Slot

_FIRST_BACKOFF_SECONDS = 1.0
_LAST_BACKOFF_SECONDS = 60.0
# In a row, with no trial ended in between: the slot is given up, since nothing else would ever stop
# it. Deaths that cost a trial an attempt are not among them: the trial fails in the end.
STARTS = 3  # deaths of a worker that held nothing
STOPS = 10  # signals to the worker itself, which put back what it held


@dataclass(slots=True)
class SlotState:
    """One slot: its worker now, and how the ones before it ended."""

    slot: Slot
    child: Child | None = None
    due: float | None = None  # when to start the next, monotonic
    reason: str = ""  # of the newest that ended: the error that it told of,
    tail: str = ""  # the last that it printed,
    ending: str = ""  # and how it ended
    deaths: int = 0  # in a row, with no trial ended in between
    starts: int = 0  # of these, those that held nothing
    stops: int = 0  # of these, those that a signal asked for

    def trial_ended(self) -> None:
        """A trial ended for good here: all is well."""
        self.deaths = self.starts = self.stops = 0

    def record_end(self, child: Child, code: int) -> None:
        """Keep the last words of `child`, which is gone."""
        self.child = None
        self.reason, self.tail, self.ending = child.reason, child.tail(), child.ending(code)

    def count_death(self, child: Child) -> float | None:
        """Count a death that nobody meant; seconds until the next worker, or None where the slot is
        given up.
        """
        self.deaths += 1
        if child.signalled:
            self.stops += 1
        else:
            self.starts = 0 if child.holds else self.starts + 1
        if self.starts >= STARTS or self.stops >= STOPS:
            return None
        return float(min(_LAST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** (self.deaths - 1)))

    @property
    def last_words(self) -> str:
        """Why the newest ended: its error first, which the chatter of libraries would hide, then
        what it printed.
        """
        said = f"failed: {self.reason}" if self.reason else f"ended by {self.ending}."
        return f"{said}\nThe last that it printed:\n{self.tail}" if self.tail else said
