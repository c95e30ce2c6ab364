"""The user's callbacks in a searched trial: what would fight the schedule is taken out, what writes files gets a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from lrsearch.definition import StudyDefinition
from lrsearch.errors import InvalidValue

_C = keras.callbacks
# Each would change the rate or the length that the trial is about.
TAKEN_OUT = (_C.EarlyStopping, _C.ReduceLROnPlateau, _C.LearningRateScheduler)
# Out of yours too: it would begin a resumed trial in an epoch of its own.
NEEDLESS = (_C.BackupAndRestore,)
_PATHS = {_C.ModelCheckpoint: "filepath", _C.CSVLogger: "filename", _C.TensorBoard: "log_dir"}

_BATCH_HOOKS = tuple(f"on_{kind}batch_{end}" for kind in ("", "train_", "test_") for end in ("begin", "end"))
# Batch hooks of Keras' own that do nothing here.
_IDLE: dict[Any, Callable[[Any], bool]] = {
    _C.ModelCheckpoint.on_train_batch_end: lambda each: each.save_freq == "epoch",
    _C.TerminateOnNaN.on_batch_end: lambda _each: True,  # the divergence rule ends the trial at the same batch
}


def watching_batches(callbacks: Sequence[Any]) -> tuple[str, ...]:
    """The classes of those callbacks that must be called at every batch."""
    return tuple(sorted({type(each).__name__ for each in callbacks if any(_acts(each, hook) for hook in _BATCH_HOOKS)}))


def _acts(callback: Any, hook: str) -> bool:
    found = getattr(callback, hook)
    function = getattr(found, "__func__", found)  # LambdaCallback has plain functions on the object
    if function is getattr(_C.Callback, hook):
        return False
    return function not in _IDLE or not _IDLE[function](callback)


def callbacks_for(
    definition: StudyDefinition, *, yours: bool, folder: str | None, resumed: bool = False
) -> tuple[list[Any], tuple[str, ...]]:
    """The callbacks of one attempt, and what to say about them. Raises InvalidValue for what is no list of callbacks."""
    made = _made(definition)
    reasons: dict[tuple[type, ...], str] = {NEEDLESS: "trials are resumed from checkpoints of lrsearch's own"}
    if not yours:
        reasons[TAKEN_OUT] = "the schedule and the length are what is searched"
    notes = []
    for kinds, reason in reasons.items():
        names = sorted({type(each).__name__ for each in made if isinstance(each, kinds)})
        notes += [f"{', '.join(names)} taken out: {reason}"] if names else []
        made = [each for each in made if not isinstance(each, kinds)]
    for each in made:
        _redirect(each, folder)
    remembering = sorted({type(each).__name__ for each in made if isinstance(each, TAKEN_OUT)})
    if resumed and remembering:
        notes.append(f"{', '.join(remembering)} began anew where the trial was resumed")
    return made, tuple(notes)


def _made(definition: StudyDefinition) -> list[Any]:
    if definition.callbacks is None:
        return []
    made = definition.callbacks()
    if not isinstance(made, list | tuple) or not all(isinstance(each, _C.Callback) for each in made):
        raise InvalidValue("callbacks", got=made, allowed="a function that returns a list of Keras callbacks")
    return list(made)


def _redirect(callback: Any, folder: str | None) -> None:
    """Let a callback that writes files write into the attempt's own folder."""
    for kind, attribute in _PATHS.items():
        if isinstance(callback, kind) and folder is not None:
            path = (
                Path(folder) / Path(str(getattr(callback, attribute, None) or getattr(callback, f"_{attribute}", "files"))).name
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            setattr(callback, attribute if hasattr(callback, attribute) else f"_{attribute}", str(path))
