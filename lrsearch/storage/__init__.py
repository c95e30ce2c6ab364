"""The ledger of studies in a SQL database, and Optuna's rows that mirror it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrsearch.storage.attempts import Beat
    from lrsearch.storage.claims import Answer, Claim, Done, PlanRetests, Wait
    from lrsearch.storage.follower import Follower
    from lrsearch.storage.glance import Glance
    from lrsearch.storage.ledger import Ledger
    from lrsearch.storage.mirror import Mirror
    from lrsearch.storage.records import AttemptRecord, CheckpointRecord, Counts, Records, RungValue
    from lrsearch.storage.retests import Retest, RetestsAsked, RetestsTaken
    from lrsearch.storage.schema import check_storage, migrate_database, open_ledger
    from lrsearch.storage.url import mask, resolve_url

__all__ = [
    "Answer",
    "AttemptRecord",
    "Beat",
    "CheckpointRecord",
    "Claim",
    "Counts",
    "Done",
    "Follower",
    "Glance",
    "Ledger",
    "Mirror",
    "PlanRetests",
    "Records",
    "Retest",
    "RetestsAsked",
    "RetestsTaken",
    "RungValue",
    "Wait",
    "check_storage",
    "mask",
    "migrate_database",
    "open_ledger",
    "resolve_url",
]

_HOMES = {
    "Answer": "lrsearch.storage.claims",
    "AttemptRecord": "lrsearch.storage.records",
    "Beat": "lrsearch.storage.attempts",
    "CheckpointRecord": "lrsearch.storage.records",
    "Claim": "lrsearch.storage.claims",
    "Counts": "lrsearch.storage.records",
    "Done": "lrsearch.storage.claims",
    "Follower": "lrsearch.storage.follower",
    "Glance": "lrsearch.storage.glance",
    "Ledger": "lrsearch.storage.ledger",
    "Mirror": "lrsearch.storage.mirror",
    "PlanRetests": "lrsearch.storage.claims",
    "Records": "lrsearch.storage.records",
    "Retest": "lrsearch.storage.retests",
    "RetestsAsked": "lrsearch.storage.retests",
    "RetestsTaken": "lrsearch.storage.retests",
    "RungValue": "lrsearch.storage.records",
    "Wait": "lrsearch.storage.claims",
    "check_storage": "lrsearch.storage.schema",
    "mask": "lrsearch.storage.url",
    "migrate_database": "lrsearch.storage.schema",
    "open_ledger": "lrsearch.storage.schema",
    "resolve_url": "lrsearch.storage.url",
}


def __getattr__(name: str) -> Any:
    """Loaded on first use: a URL alone needs no Optuna, and a parent starts its workers half a
    second sooner.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'lrsearch.storage' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
