"""Opens the ledger and a study in it, the same way for every command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrsearch.storage import Ledger
    from lrsearch.values import StudyRecord


def open_storage(storage: str | None) -> Ledger:
    """Open the ledger that `--storage`, LRSEARCH_STORAGE or the default names."""
    from lrsearch.storage import open_ledger, resolve_url

    return open_ledger(resolve_url(storage, os.environ))


@contextmanager
def open_study(name: str, storage: str | None) -> Iterator[tuple[Ledger, StudyRecord]]:
    """Open the ledger and the study of that name; raises UnknownName."""
    with open_storage(storage) as ledger:
        yield ledger, ledger.study(name)


def columns() -> int | None:
    """The columns of the terminal; None, for uncut lines, where standard output is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
