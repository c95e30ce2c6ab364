"""The user's callbacks in a searched trial: which are kept, and where they write.

Callbacks that would fight the schedule are taken out. Those that write files get a folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from lrsearch.definition import StudyDefinition, TrialInfo
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.types import Callback
from lrsearch.errors import InvalidValue
from lrsearch.values import Setting, TrialSpec

_C = keras.callbacks
# Each would change the rate or the length that the trial is about.
TAKEN_OUT = (_C.EarlyStopping, _C.ReduceLROnPlateau, _C.LearningRateScheduler)
# Out of yours too: it would begin a resumed trial in an epoch of its own.
NEEDLESS = (_C.BackupAndRestore,)
# These neither put weights back nor set any.
_LEAVE_WEIGHTS = (
    _C.CSVLogger, _C.History, _C.LearningRateScheduler, _C.ModelCheckpoint, _C.ProgbarLogger, _C.ReduceLROnPlateau,
    _C.RemoteMonitor, _C.TensorBoard, _C.TerminateOnNaN,
)  # fmt: skip
_PATHS = {_C.ModelCheckpoint: "filepath", _C.CSVLogger: "filename", _C.TensorBoard: "log_dir"}

_BATCH_HOOKS = tuple(
    f"on_{kind}batch_{end}" for kind in ("", "train_", "test_") for end in ("begin", "end")
)
# Batch hooks of Keras' own that do nothing here.
_IDLE: dict[Any, Callable[[Callback], bool]] = {
    _C.ModelCheckpoint.on_train_batch_end: lambda each: each.save_freq == "epoch",
    # the divergence rule ends the trial at the same batch
    _C.TerminateOnNaN.on_batch_end: lambda _each: True,
}


def watching_batches(callbacks: Sequence[Callback]) -> tuple[str, ...]:
    """The classes of those callbacks that must be called at every batch."""
    return tuple(
        sorted(
            {
                type(each).__name__
                for each in callbacks
                if any(_acts(each, hook) for hook in _BATCH_HOOKS)
            }
        )
    )


def _acts(callback: Callback, hook: str) -> bool:
    found = getattr(callback, hook)
    function = getattr(found, "__func__", found)  # LambdaCallback has plain functions on the object
    if function is getattr(_C.Callback, hook):
        return False
    return function not in _IDLE or not _IDLE[function](callback)


def may_change_weights(callback: Callback) -> bool:
    """Whether a run with this callback may end with weights that it did not validate last."""
    if type(callback) is _C.EarlyStopping:
        return bool(callback.restore_best_weights)
    return type(callback) not in _LEAVE_WEIGHTS


def users_callbacks(loaded: LoadedStudy, spec: TrialSpec) -> list[Callback]:
    """What the study's own function returns for this attempt.

    Raises InvalidValue where that is no list of callbacks.

    The function is called once an attempt, however many engines look at the attempt; what it raised
    is raised to each of them.
    """
    key = spec.trial_id, spec.attempt
    if key not in loaded.uncalled:
        try:
            loaded.uncalled[key] = _made(loaded.definition, lambda: _info(spec))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the study's code may raise anything
            loaded.uncalled[key] = error
    found = loaded.uncalled[key]
    if isinstance(found, BaseException):
        raise found
    return found


def calls_begin(loaded: LoadedStudy, spec: TrialSpec) -> None:
    """From here on this attempt's callbacks are in use.

    An engine that begins the attempt anew makes new ones: these hold what they saw.
    """
    loaded.uncalled.pop((spec.trial_id, spec.attempt), None)


@contextmanager
def looked_at(definition: StudyDefinition, setting: Setting) -> Iterator[list[Callback]]:
    """Callbacks for a look before there is a trial; their folder goes with it."""
    with tempfile.TemporaryDirectory(prefix="lrsearch-", ignore_cleanup_errors=True) as folder:
        yield _made(definition, lambda: _info_of_a_look(definition, setting, folder))


def _made(definition: StudyDefinition, trial: Callable[[], TrialInfo]) -> list[Callback]:
    made = definition.make_callbacks(trial)
    if made is None and definition.callbacks is None:
        return []
    if not isinstance(made, list | tuple) or not all(
        isinstance(each, _C.Callback) for each in made
    ):
        raise InvalidValue(
            "callbacks", got=made, allowed="a function that returns a list of Keras callbacks"
        )
    return list(made)


def _info(spec: TrialSpec) -> TrialInfo:
    # an engine without a worker names none
    folder = Path(spec.folder or tempfile.mkdtemp(prefix="lrsearch-"))
    folder.mkdir(parents=True, exist_ok=True)
    return TrialInfo(
        label=spec.label,
        number=spec.number,
        retest=spec.retest,
        yours=spec.yours,
        setting=spec.setting,
        seed=spec.seed,
        attempt=spec.attempt,
        resumed_epochs=spec.resume.epoch if spec.resume else 0,
        folder=folder,
    )


def _info_of_a_look(definition: StudyDefinition, setting: Setting, folder: str) -> TrialInfo:
    return TrialInfo(
        label="first look",
        number=None,
        retest=None,
        yours=False,
        setting=setting,
        seed=definition.seed,
        attempt=1,
        resumed_epochs=0,
        folder=Path(folder),
        first_look=True,
    )


def kept_of(
    users: Sequence[Callback],
    *,
    yours: bool,
    folder: str | None = None,
    resumed: bool = False,
    averaged: bool = False,
    setting_rates: Sequence[str] = (),
) -> tuple[list[Callback], tuple[str, ...]]:
    """The user's callbacks that an attempt is trained with, and what to say about the others.

    `averaged`: the optimizer is evaluated at averaged weights. `setting_rates`: the user's
    callbacks that set the rate, by `placed_name`.
    """
    placed = list(enumerate(users))
    notes = []
    for takes_out, reason in _reasons(yours=yours, averaged=averaged, setting_rates=setting_rates):
        names = sorted({type(each).__name__ for place, each in placed if takes_out(place, each)})
        notes += [f"{', '.join(names)} taken out: {reason}"] if names else []
        placed = [(place, each) for place, each in placed if not takes_out(place, each)]
    made = [each for _, each in placed]
    for each in made:
        _redirect(each, folder)
    remembering = sorted({type(each).__name__ for each in made if isinstance(each, TAKEN_OUT)})
    if resumed and remembering:
        notes.append(f"{', '.join(remembering)} began anew where the trial was resumed")
    return made, tuple(notes)


def _reasons(
    *, yours: bool, averaged: bool, setting_rates: Sequence[str]
) -> list[tuple[Callable[[int, Callback], bool], str]]:
    """What is taken out of an attempt, and why."""
    reasons: list[tuple[Callable[[int, Callback], bool], str]] = [
        (
            lambda _, each: isinstance(each, NEEDLESS),
            "trials are resumed from checkpoints of lrsearch's own",
        ),
    ]
    if not yours:
        reasons.append(
            (
                lambda _, each: isinstance(each, TAKEN_OUT),
                "the schedule and the length are what is searched",
            )
        )
        reasons.append(
            (
                lambda *placed: placed_name(*placed) in setting_rates,
                "it sets the rate, which is what is searched",
            )
        )
    if averaged:
        own = "this optimizer is evaluated at an average of its own"
        reasons.append((lambda _, each: isinstance(each, _C.SwapEMAWeights), own))
    return reasons


def placed_name(place: int, callback: Callback) -> str:
    """A callback's name between inspection and workers: its place in the list, and its class."""
    return f"{place}:{type(callback).__name__}"


def _redirect(callback: Callback, folder: str | None) -> None:
    """Let a callback that writes files write into the attempt's own folder.

    A callback that does so already is left as it is.
    """
    for kind, attribute in _PATHS.items():
        if isinstance(callback, kind) and folder is not None:
            asked = Path(
                str(
                    getattr(callback, attribute, None)
                    or getattr(callback, f"_{attribute}", "files")
                )
            )
            path = (
                asked
                if asked.absolute().is_relative_to(Path(folder).absolute())
                else Path(folder) / asked.name
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            setattr(
                callback, attribute if hasattr(callback, attribute) else f"_{attribute}", str(path)
            )
