"""Where a machine keeps the checkpoints of its studies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lrsearch.values import StudyRecord

CHECKPOINTS = "lrsearch-checkpoints"


def remove_checkpoints(study: StudyRecord, given: str | Path | None, url: str) -> None:
    """Remove a deleted study's folder of checkpoints from this machine."""
    from lrsearch.worker.checkpoints import folder_of

    shutil.rmtree(checkpoint_root(given, url) / folder_of(study), ignore_errors=True)


def checkpoint_root(given: str | Path | None, url: str) -> Path:
    """The folder of checkpoints: the given one, beside SQLite's file, or in the working folder."""
    if given is not None:
        return Path(given).expanduser().resolve()
    kind, _, place = url.partition(":///")
    beside = Path(place).parent if kind.startswith("sqlite") and place else Path()
    return Path(os.path.abspath(beside)) / CHECKPOINTS  # noqa: PTH100 - links stay as given
