"""The user's callbacks in a searched trial: which are kept, and where they write.

Callbacks that would fight the schedule are taken out. Callbacks that write files get a
folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import keras

from lrsearch.definition import StudyDefinition, TrialInfo
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.types import Callback, Function
from lrsearch.errors import InvalidValue
from lrsearch.values import Setting, TrialSpec

_C = keras.callbacks
# Each would change the rate or the length that the trial is about.
TAKEN_OUT = (_C.EarlyStopping, _C.ReduceLROnPlateau, _C.LearningRateScheduler)
# These neither put weights back nor set any.
_LEAVE_WEIGHTS = (
    _C.CSVLogger,
    _C.History,
    _C.LearningRateScheduler,
    _C.ModelCheckpoint,
    _C.ProgbarLogger,
    _C.ReduceLROnPlateau,
    _C.RemoteMonitor,
    _C.TensorBoard,
    _C.TerminateOnNaN,
)
_PATHS = {
    _C.ModelCheckpoint: "filepath",
    _C.CSVLogger: "filename",
    _C.TensorBoard: "log_dir",
}

_BATCH_HOOKS = tuple(
    f"on_{kind}batch_{end}"
    for kind in ("", "train_", "test_")
    for end in ("begin", "end")
)
# Batch hooks of Keras' own that do nothing here.
_IDLE: dict[Function, Callable[[Callback], bool]] = {
    _C.ModelCheckpoint.on_train_batch_end: lambda each: each.save_freq == "epoch",
    # The divergence rule ends the trial at the same batch.
    _C.TerminateOnNaN.on_batch_end: lambda _each: True,
}


def class_names(callbacks: Iterable[Callback]) -> str:
    """The callbacks' classes, each once, for a person."""
    return ", ".join(sorted({type(each).__name__ for each in callbacks}))


def watches_batches(callback: Callback) -> bool:
    """Whether this callback must be called at every batch."""
    return any(_acts(callback, hook) for hook in _BATCH_HOOKS)


def _acts(callback: Callback, hook: str) -> bool:
    method = getattr(callback, hook)
    function = getattr(method, "__func__", method)  # LambdaCallback has plain functions
    if function is getattr(_C.Callback, hook):
        return False
    return function not in _IDLE or not _IDLE[function](callback)


def may_change_weights(callback: Callback) -> bool:
    """Whether a run with this callback may end with weights that it did not validate last."""
    if type(callback) is _C.EarlyStopping:
        return bool(callback.restore_best_weights)
    return type(callback) not in _LEAVE_WEIGHTS


# -- made by the study's function ------------------------------------------------------


def users_callbacks(loaded: LoadedStudy, spec: TrialSpec) -> list[Callback]:
    """What the study's own function returns for this attempt.

    Raises InvalidValue where that is no list of callbacks.

    The function is called once per attempt, however many engines look at the attempt;
    what it raised is raised to each of them.
    """
    key = spec.trial_id, spec.attempt
    if key not in loaded.uncalled:
        try:
            loaded.uncalled[key] = _make(loaded.definition, lambda: _info(spec))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the study's code may raise anything
            loaded.uncalled[key] = error
    made = loaded.uncalled[key]
    if isinstance(made, BaseException):
        raise made
    return made


def calls_begin(loaded: LoadedStudy, spec: TrialSpec) -> None:
    """Note that this attempt's callbacks are in use from here on.

    An engine that begins the attempt anew makes new ones: these have what they saw.
    """
    loaded.uncalled.pop((spec.trial_id, spec.attempt), None)


@contextmanager
def make_temporary_callbacks(
    definition: StudyDefinition, setting: Setting
) -> Iterator[list[Callback]]:
    """Make callbacks for a look before there is a trial; their folder goes with it."""
    with tempfile.TemporaryDirectory(
        prefix="lrsearch-", ignore_cleanup_errors=True
    ) as folder:
        seed, label = definition.seed, "first look"
        spec = TrialSpec(
            trial_id=-1,
            attempt=1,
            label=label,
            setting=setting,
            seed=seed,
            folder=folder,
        )
        yield _make(definition, lambda: replace(_info(spec), first_look=True))


def _make(
    definition: StudyDefinition, trial: Callable[[], TrialInfo]
) -> list[Callback]:
    made = definition.make_callbacks(trial)
    if made is None and definition.callbacks is None:
        return []
    if isinstance(made, list | tuple) and all(
        isinstance(each, _C.Callback) for each in made
    ):
        return list(made)
    allowed = "a function that returns a list of Keras callbacks"
    fix = "Return [] where a training has none."
    raise InvalidValue("callbacks", got=made, allowed=allowed, fix=fix)


def _info(spec: TrialSpec) -> TrialInfo:
    # An engine without a worker names none.
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


# -- kept in an attempt ----------------------------------------------------------------

_Test: TypeAlias = Callable[[int, Callback], bool]
"""Whether a callback, after its place in the user's list, is taken out."""


def kept_of(
    users: Sequence[Callback],
    *,
    yours: bool,
    folder: str | None = None,
    resumed: bool = False,
    averaged: bool = False,
    setting_rates: Sequence[str] = (),
) -> tuple[list[Callback], tuple[str, ...]]:
    """The user's callbacks that an attempt is trained with, and notes of the others.

    `averaged`: the optimizer is evaluated at averaged weights. `setting_rates`: the
    user's callbacks that set the rate, by `placed_name`.
    """
    placed = list(enumerate(users))
    notes = []
    for takes_out, reason in _reasons(
        yours=yours, averaged=averaged, setting_rates=setting_rates
    ):
        taken = [own for own in placed if takes_out(*own)]
        placed = [own for own in placed if not takes_out(*own)]
        if taken:
            notes.append(
                f"{class_names(each for _, each in taken)} taken out: {reason}"
            )
    kept = [each for _, each in placed]
    if folder is not None:
        for each in kept:
            _redirect(each, Path(folder))
    remembering = [each for each in kept if isinstance(each, TAKEN_OUT)]
    if resumed and remembering:
        notes.append(
            f"{class_names(remembering)} began anew where the trial was resumed"
        )
    return kept, tuple(notes)


def _reasons(
    *, yours: bool, averaged: bool, setting_rates: Sequence[str]
) -> Iterator[tuple[_Test, str]]:
    """What is taken out of an attempt, and why."""
    # Out of yours too: it would begin a resumed trial in an epoch of its own.
    resumes = "trials are resumed from checkpoints of lrsearch's own"
    yield lambda _, each: isinstance(each, _C.BackupAndRestore), resumes
    if not yours:
        searched = "the schedule and the length are what is searched"
        yield lambda _, each: isinstance(each, TAKEN_OUT), searched
        sets = "it sets the rate, which is what is searched"
        yield lambda *placed: placed_name(*placed) in setting_rates, sets
    if averaged:
        own = "this optimizer is evaluated at an average of its own"
        yield lambda _, each: isinstance(each, _C.SwapEMAWeights), own


def placed_name(place: int, callback: Callback) -> str:
    """A callback's name between inspection and workers: its place in the list, and its class."""
    return f"{place}:{type(callback).__name__}"


def _redirect(callback: Callback, folder: Path) -> None:
    """Let a callback that writes files write into the attempt's own folder.

    A callback that does so already is left as it is.
    """
    for kind, public in _PATHS.items():
        if isinstance(callback, kind):
            attribute = public if hasattr(callback, public) else f"_{public}"
            path = Path(str(getattr(callback, attribute, None) or "files"))
            if not path.absolute().is_relative_to(folder.absolute()):
                path = folder / path.name
            path.parent.mkdir(parents=True, exist_ok=True)
            setattr(callback, attribute, str(path))
