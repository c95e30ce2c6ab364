"""The ledger of studies in a SQL database, and Optuna's rows that mirror it."""

from lrsearch.storage.claims import Answer, Claim, Done, PlanRetests, Wait
from lrsearch.storage.ends import Beat
from lrsearch.storage.ledger import Ledger
from lrsearch.storage.mirror import Mirror
from lrsearch.storage.records import AttemptRecord, CheckpointRecord, Counts, Records
from lrsearch.storage.schema import check_storage, migrate_database, open_ledger
from lrsearch.storage.studies import Retest
from lrsearch.storage.url import mask, resolve_url

__all__ = [
    "Answer",
    "AttemptRecord",
    "Beat",
    "CheckpointRecord",
    "Claim",
    "Counts",
    "Done",
    "Ledger",
    "Mirror",
    "PlanRetests",
    "Records",
    "Retest",
    "Wait",
    "check_storage",
    "mask",
    "migrate_database",
    "open_ledger",
    "resolve_url",
]
