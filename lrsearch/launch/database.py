"""Opens the database for a parent process, which imports SQLAlchemy while its workers load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


@contextmanager
def open_database(url: str) -> Iterator[Ledger]:
    """Open the ledger at `url`, made where it does not exist; close it afterwards."""
    from lrsearch.storage import open_ledger

    with closing(open_ledger(url, create=True)) as ledger:
        yield ledger


def has_tables(url: str) -> bool:
    """Whether the database has our tables; makes nothing.

    A SQLite file that does not exist is no reason to load SQLAlchemy, which takes half a second.
    Raises StorageProblem or SchemaMismatch where the database cannot be used.
    """
    from lrsearch.storage import check_storage

    kind, _, place = url.partition(":///")
    if kind.startswith("sqlite") and place and not Path(place.partition("?")[0]).exists():
        return False
    return check_storage(url)
