"""A slot of a pool: when its next worker starts, and when the slot is given up.

Reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from lrsearch.launch.child import Child
from lrsearch.setup.slots import Slot

_FIRST_BACKOFF_SECONDS = 1.0
_LAST_BACKOFF_SECONDS = 60.0
# The slot is given up after so many deaths in a row, with no trial ended in between.
# Deaths in training have no limit here: the trial itself fails in the end.
STARTS = 3  # deaths of workers that had trained nothing
STOPS = 10  # deaths of workers that received a signal and put back their trials


@dataclass(slots=True)
class SlotState:
    """One slot: its worker now, and how the ones before it ended."""

    slot: Slot
    child: Child | None = None
    due: float | None = None  # when to start the next worker, monotonic
    # The error, the last output and the ending of the last worker that ended.
    reason: str = ""
    tail: str = ""
    ending: str = ""
    deaths: int = 0  # in a row, with no trial ended in between
    starts: int = 0  # deaths of workers that trained nothing
    stops: int = 0  # deaths by a signal to the worker

    def reset_deaths(self) -> None:
        """Forget earlier deaths: a trial has ended for good here."""
        self.deaths = self.starts = self.stops = 0

    def record_end(self, child: Child, code: int) -> None:
        """Keep the error and the last output of `child`, which is gone."""
        self.child = None
        self.reason, self.tail = child.reason, child.read_tail()
        self.ending = child.describe_end(code)

    def count_death(self, child: Child) -> float | None:
        """Count an unexpected death.

        Returns the seconds until the next worker, or None where the slot is given up.
        """
        self.deaths += 1
        if child.signalled:
            self.stops += 1
        else:
            self.starts = 0 if child.attempts else self.starts + 1
        if self.starts >= STARTS or self.stops >= STOPS:
            return None
        return float(
            min(
                _LAST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** (self.deaths - 1)
            )
        )

    @property
    def last_words(self) -> str:
        """Why the last worker ended: its error, then its output.

        The error comes first, since the output of libraries would hide it.
        """
        why = f"failed: {self.reason}" if self.reason else f"ended by {self.ending}."
        return f"{why}\nThe last that it printed:\n{self.tail}" if self.tail else why
