"""The ledger of studies in a SQL database, and Optuna's rows that mirror it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.lazy import lazy_names

if TYPE_CHECKING:
    from lrsearch.storage.attempts import Renewal
    from lrsearch.storage.claims import Claim, Done, PlanRetests, Wait
    from lrsearch.storage.follower import Follower
    from lrsearch.storage.glance import Glance
    from lrsearch.storage.ledger import Ledger
    from lrsearch.storage.mirror import Mirror
    from lrsearch.storage.records import (
        AttemptRecord,
        CheckpointRecord,
        Counts,
        RungValue,
        plan_from,
    )
    from lrsearch.storage.retests import Retest, RetestsAsked, RetestsTaken
    from lrsearch.storage.schema import check_storage, migrate_database, open_ledger
    from lrsearch.storage.url import mask, resolve_url

__all__ = [
    "AttemptRecord",
    "CheckpointRecord",
    "Claim",
    "Counts",
    "Done",
    "Follower",
    "Glance",
    "Ledger",
    "Mirror",
    "PlanRetests",
    "Renewal",
    "Retest",
    "RetestsAsked",
    "RetestsTaken",
    "RungValue",
    "Wait",
    "check_storage",
    "mask",
    "migrate_database",
    "open_ledger",
    "plan_from",
    "resolve_url",
]

# Names are loaded on first use: a URL needs no Optuna, so a parent starts its workers
# half a second sooner.
__getattr__ = lazy_names(
    __name__,
    attempts=["Renewal"],
    claims=["Claim", "Done", "PlanRetests", "Wait"],
    follower=["Follower"],
    glance=["Glance"],
    ledger=["Ledger"],
    mirror=["Mirror"],
    records=["AttemptRecord", "CheckpointRecord", "Counts", "RungValue", "plan_from"],
    retests=["Retest", "RetestsAsked", "RetestsTaken"],
    schema=["check_storage", "migrate_database", "open_ledger"],
    url=["mask", "resolve_url"],
)
