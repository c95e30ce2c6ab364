"""Opens the ledger and a study in it, the same way for every command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrsearch.storage import Ledger
    from lrsearch.values import StudyRecord


@contextmanager
def opened_ledger(storage: str | None, *, create: bool = False) -> Iterator[Ledger]:
    """The ledger that `--storage`, LRSEARCH_STORAGE or the default names; closed afterwards."""
    from lrsearch.storage import open_ledger, resolve_url

    with closing(open_ledger(resolve_url(storage, os.environ), create=create)) as ledger:
        yield ledger


@contextmanager
def existing_study(name: str, storage: str | None) -> Iterator[tuple[Ledger, StudyRecord]]:
    """The ledger, and the study of that name in it; raises UnknownName."""
    with opened_ledger(storage) as ledger:
        yield ledger, ledger.study(name)


def room() -> int | None:
    """The columns of the terminal that standard output is; None where it is none, and then nothing
    is left out or cut.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
