"""Opens the database for a parent process, which imports SQLAlchemy while its workers load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def open_database(url: str) -> Ledger:
    """Open the ledger at `url`; make its tables where there are none."""
    from lrsearch.storage import open_ledger

    return open_ledger(url, create=True)


def has_tables(url: str) -> bool:
    """Whether the database has our tables; makes nothing.

    A SQLite file that does not exist is no reason to load SQLAlchemy, which takes half
    a second. Raises StorageProblem or SchemaMismatch where the database cannot be used.
    """
    from lrsearch.storage import check_storage

    kind, _, place = url.partition(":///")
    if (
        kind.startswith("sqlite")
        and place
        and not Path(place.partition("?")[0]).exists()
    ):
        return False
    return check_storage(url)
