"""The user's callbacks in a searched trial: what would fight the schedule is taken out, what writes files gets a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from lrsearch.definition import StudyDefinition

_C = keras.callbacks
# Each would change the rate or the length that the trial is about.
TAKEN_OUT = (_C.EarlyStopping, _C.ReduceLROnPlateau, _C.LearningRateScheduler)
_PATHS = {_C.ModelCheckpoint: "filepath", _C.BackupAndRestore: "backup_dir", _C.CSVLogger: "filename", _C.TensorBoard: "log_dir"}


def callbacks_for(definition: StudyDefinition, *, yours: bool, folder: str | None) -> tuple[list[Any], tuple[str, ...]]:
    """The callbacks of one attempt, and what to say about them."""
    made = list(definition.callbacks()) if definition.callbacks is not None else []
    out = () if yours else TAKEN_OUT
    kept = [each for each in made if not isinstance(each, out)]
    names = sorted({type(each).__name__ for each in made if isinstance(each, out)})
    for each in kept:
        _redirect(each, folder)
    notes = (f"{', '.join(names)} taken out: the schedule and the length are what is searched",) if names else ()
    return kept, notes


def _redirect(callback: Any, folder: str | None) -> None:
    """Let a callback that writes files write into the attempt's own folder."""
    for kind, attribute in _PATHS.items():
        if isinstance(callback, kind) and folder is not None:
            path = (
                Path(folder) / Path(str(getattr(callback, attribute, None) or getattr(callback, f"_{attribute}", "files"))).name
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            setattr(callback, attribute if hasattr(callback, attribute) else f"_{attribute}", str(path))
