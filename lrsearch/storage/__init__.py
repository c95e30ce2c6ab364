"""The ledger of studies in a SQL database, and Optuna's rows that mirror it."""

from lrsearch.storage.claims import Answer, Beat, Claim, Done, PlanRetests, Retest, Wait
from lrsearch.storage.ledger import Ledger
from lrsearch.storage.mirror import Mirror
from lrsearch.storage.records import AttemptRecord, CheckpointRecord, Counts, Records
from lrsearch.storage.schema import migrate_database, open_ledger
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
    "mask",
    "migrate_database",
    "open_ledger",
    "resolve_url",
]
