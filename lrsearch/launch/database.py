"""The database as a parent process opens it: SQLAlchemy is imported while the workers load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


@contextmanager
def ledger_at(url: str) -> Iterator[Ledger]:
    """The ledger at `url`, made where it is not there yet; closed afterwards."""
    from lrsearch.storage import open_ledger

    ledger = open_ledger(url, create=True)
    try:
        yield ledger
    finally:
        ledger.close()


def check_storage(url: str) -> bool:
    """Raise StorageProblem or SchemaMismatch where `url` cannot be used, without making anything.

    Returns whether our tables are there.
    """
    from lrsearch.storage import check_storage as check

    return check(url)
