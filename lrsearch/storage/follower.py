"""A study's trials as they are now, read once and then kept up by what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.values import TrialRecord

if TYPE_CHECKING:
    from lrsearch.storage.glance import Glance
    from lrsearch.storage.ledger import Ledger
    from lrsearch.storage.records import Records


class Follower:
    """One reader's picture of a study. 10,000 trials take half a second to read, what is new of
    them milliseconds.
    """

    def __init__(self, ledger: Ledger, study_id: int) -> None:
        self._ledger, self._study_id = ledger, study_id
        self._records: dict[int, TrialRecord] = {}
        self._revision: int | None = None

    @property
    def records(self) -> list[TrialRecord]:
        """Search trials before retests, by number."""
        return sorted(self._records.values(), key=lambda each: (each.kind != "search", each.number))

    def read(self) -> bool:
        """Take in what changed; whether anything did. Raises StorageUnavailable."""
        return self._take(self._ledger.trials(self._study_id, changed_since=self._revision))

    def glance(self) -> Glance | None:
        """The same in one try, with all that a view shows of the study; None where it was deleted.

        Raises StorageUnavailable.
        """
        seen = self._ledger.glance(self._study_id, changed_since=self._revision)
        if seen is not None:
            self._take(seen.changed)
        return seen

    def _take(self, changed: Records) -> bool:
        self._revision = changed.revision
        self._records |= {each.id: each for each in changed}
        return bool(changed)
