"""What people do with studies: create, change budget and state, retry, retest, delete."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError

from lrsearch.budget import Budget
from lrsearch.errors import StorageProblem, StorageUnavailable
from lrsearch.storage import retests, states, studies
from lrsearch.storage.database import Database
from lrsearch.storage.reader import LedgerReader
from lrsearch.storage.retests import RetestsAsked, RetestsTaken
from lrsearch.storage.tables import studies as study_rows
from lrsearch.storage.transaction import StudyGone, Transaction
from lrsearch.values import Change, Json, StudyPlan, StudyRecord, StudyState

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from lrsearch.storage.optuna_studies import AttrChange


class StudyLedger(LedgerReader):
    """The ledger of people. Raises StudyGone by a deleted study's id, UnknownName by its name."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._optuna: RDBStorage | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        """Close the connections, Optuna's too."""
        if self._optuna is not None:
            from lrsearch.storage.optuna_studies import close_optuna

            close_optuna(self._optuna)
        super().close()

    def _request_record(
        self, study_id: int, work: Callable[[Transaction], None]
    ) -> StudyRecord:
        """Make a request; returns the study as it is then."""
        self.database.request(work, study=study_id)
        study = self._find_study(study_rows.c.id == study_id)
        if study is None:
            raise StudyGone
        return study

    # -- create and delete -------------------------------------------------------------

    def create_study(
        self, plan: StudyPlan, *, began: float | None = None
    ) -> StudyRecord:
        """Make the study with its first trials, or find it; many processes may try at once.

        Its time-out counts from `began`, by this process' monotonic clock, or from now.
        A name has one study, so a commit whose answer was lost is found again by the
        name.

        Raises FingerprintMismatch where the stored study was made from another
        definition, InvalidValue where Optuna has a study of that name with trials that
        are not ours.
        """
        from lrsearch.definition import check_facts
        from lrsearch.storage.optuna_studies import make_study, refuse_foreign_study

        stored = self._find_study(study_rows.c.name == plan.name)
        if stored is None:
            # before anything is made
            refuse_foreign_study(self.optuna_storage(), plan.name)
            end = studies.end_of(plan.timeout_seconds, began)
            # Another process was quicker, or our own commit's answer was lost.
            with suppress(IntegrityError):
                self.database.transact(lambda tx: studies.insert_study(tx, plan, end))
            stored = self.study(plan.name)
        check_facts(stored, plan.facts)
        if not stored.optuna_study_id:
            facts = stored.facts
            made = make_study(
                self.optuna_storage(), stored.name, facts.direction, facts.objective
            )
            self.database.request(
                lambda tx: tx.change_study(optuna_study_id=made), study=stored.id
            )
        return self.study(plan.name)

    def delete_study(self, study_id: int) -> None:
        """Delete the study here and at Optuna. Raises Refused while a worker holds a trial."""
        from lrsearch.storage.optuna_studies import drop_study

        name = self.database.request(studies.part_from_optuna, study=study_id)
        self.optuna_storage()  # makes Optuna's tables where there are none
        try:  # by name: a deletion that was cut short has lost Optuna's id
            self.database.transact(lambda tx: drop_study(tx, name))
        except StorageProblem as error:
            # Optuna's tables in MySQL's default alphabet cannot store every name.
            if name.isascii() or isinstance(error, StorageUnavailable):
                raise
        with suppress(StudyGone):  # deleted by our own commit, whose answer was lost
            self.database.transact(studies.delete_rows, study=study_id)

    # -- budget and state --------------------------------------------------------------

    def set_budget(
        self,
        study_id: int,
        *,
        trials: int | None = None,
        trainings: int | None = None,
        timeout_seconds: float | None = None,
        began: float | None = None,
    ) -> None:
        """Set the study's totals of trials and of trainings, and its end; None keeps.

        Totals never fall below what has begun. The end is so many seconds after
        `began`, by this process' monotonic clock, or after now. A finished study is
        open again; a deadline that has passed is dropped when a total is given.
        """
        end = studies.end_of(timeout_seconds, began)
        totals = {"trials": trials, "trainings": trainings}
        self.database.request(
            lambda tx: studies.change_budget(tx, Budget.set, totals, end),
            study=study_id,
        )

    def extend(
        self,
        study_id: int,
        *,
        trials: int | None = None,
        trainings: int | None = None,
        timeout_seconds: float | None = None,
    ) -> StudyRecord:
        """Raise the totals by `trials` and `trainings`, and end so many seconds from now."""
        end = studies.end_of(timeout_seconds, None)
        totals = {"trials": trials, "trainings": trainings}
        return self._request_record(
            study_id, lambda tx: studies.change_budget(tx, Budget.extend, totals, end)
        )

    def set_state(
        self, study_id: int, state: StudyState, reason: str = ""
    ) -> StudyState:
        """Set what the study's workers may do; returns the state that the study has then.

        The study keeps another state where `state` may not follow (`storage.states`).
        """
        return StudyState(
            self.database.request(
                lambda tx: states.change_state(tx, state, reason).value, study=study_id
            )
        )

    def record_changes(self, study_id: int, changes: Sequence[Change]) -> StudyRecord:
        """Record with the study what changed of its definition.

        Its waiting trials begin anew where the change touches their training.
        """
        return self._request_record(
            study_id, lambda tx: studies.record_changes(tx, changes)
        )

    def keep_threads(self, study_id: int, threads: int | None) -> None:
        """Record how many threads each of the study's CPU workers has."""
        self.database.request(
            lambda tx: tx.change_study(threads=threads), study=study_id
        )

    # -- retries and retests -----------------------------------------------------------

    def retry_failed(self, study_id: int) -> list[int]:
        """Queue each failed trial's setting as a new trial; returns the new numbers.

        The budget rises by as many. A failed trial is retried once; where its retry
        fails, the retry may be retried. A broken study is open again.
        """
        return self.database.request(studies.retry_failed, study=study_id)

    def ask_race(self, study_id: int, total: int) -> RetestsTaken:
        """Let the study have `total` retests, chosen one after another; see `retests.ask_race`."""
        taken = self.database.request(
            lambda tx: retests.ask_race(tx, total), study=study_id
        )
        return RetestsTaken(**taken)

    def ask_retests(self, study_id: int, asked: RetestsAsked) -> RetestsTaken | None:
        """Queue retests, or record them for the search's end; see `lrsearch.storage.retests`.

        None where search trials have ended since the settings were chosen: choose
        again.
        """
        taken = self.database.request(
            lambda tx: retests.ask_retests(tx, asked), study=study_id
        )
        return None if taken is None else RetestsTaken(**taken)

    # -- Optuna ------------------------------------------------------------------------

    def optuna_storage(self) -> RDBStorage:
        """Open Optuna's own storage in the same database; it is closed with the ledger."""
        from lrsearch.storage.optuna_studies import open_optuna

        with self._opening:
            if self._optuna is None:
                self._optuna = open_optuna(self.database.url)
            return self._optuna

    def change_optuna_attrs(
        self,
        optuna_study_id: int,
        change: AttrChange,
        *,
        says: Mapping[str, Json] = MappingProxyType({}),
    ) -> None:
        """Write the system attributes that `change` returns, in one transaction.

        With a change, `says` are written as attributes that people see. A study that is
        gone stays as it is. Raises StorageUnavailable.
        """
        from lrsearch.storage.optuna_studies import change_attrs

        self.database.transact(
            lambda tx: change_attrs(tx, optuna_study_id, change, says)
        )
