"""The ledger: a study's budget, trials, attempts, curves and workers in a SQL database.

The ledger has a part for each user: what workers do (`worker_ledger`), what people do
(`study_ledger`), and what everybody reads (`reader`). Every method is one short
transaction, safe to repeat, and tried again while the database is away. It raises
StorageUnavailable when an outage outlasts the ledger's patience. Several threads may
use one ledger; each has its own connection.
"""

from __future__ import annotations

from typing import final

from lrsearch.storage.study_ledger import StudyLedger
from lrsearch.storage.worker_ledger import WorkerLedger


@final
class Ledger(WorkerLedger, StudyLedger):
    """The whole ledger; `open_ledger` makes one."""
