"""A study's trials, read once and then kept up to date by what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.values import TrialRecord

if TYPE_CHECKING:
    from lrsearch.storage.glance import Glance
    from lrsearch.storage.ledger import Ledger
    from lrsearch.storage.records import Records


class Follower:
    """One reader's copy of a study's trials.

    10,000 trials take half a second to read; what has changed of them takes
    milliseconds.
    """

    def __init__(self, ledger: Ledger, study_id: int) -> None:
        self._ledger, self._study_id = ledger, study_id
        self._records: dict[int, TrialRecord] = {}
        # of the study at the last look; None before the first
        self.revision: int | None = None

    @property
    def records(self) -> list[TrialRecord]:
        """The trials: search trials before retests, by number."""
        return sorted(
            self._records.values(),
            key=lambda each: (each.kind != "search", each.number),
        )

    def read(self) -> bool:
        """Read what changed; returns whether anything did. Raises StorageUnavailable."""
        return self._update(
            self._ledger.trials(self._study_id, changed_since=self.revision)
        )

    def glance(self) -> Glance | None:
        """Read what changed in one try, with all that a view shows; None where it was deleted.

        Raises StorageUnavailable.
        """
        glance = self._ledger.glance(self._study_id, changed_since=self.revision)
        if glance is not None:
            self._update(glance.changed)
        return glance

    def _update(self, changed: Records) -> bool:
        self.revision = changed.revision
        self._records |= {each.id: each for each in changed}
        return bool(changed)
