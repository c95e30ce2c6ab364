"""Every error that lrsearch raises on purpose, in one tree.

LrSearchError                 exit 1   everything raised on purpose
  CallerError                 exit 2   the caller can mend it
    InvalidValue              a field holds what is not allowed
    UnknownName               no such optimizer, study, trial, ...; the nearest is suggested
    StudyFileError            the study file cannot be used; carries its own traceback, if any
  EnvironmentProblem          exit 3   the machine or the database must be mended
    StorageProblem            the database cannot be used
      StorageUnavailable      it did not answer; worth another try
      StorageGone             its file was deleted or replaced meanwhile
    DeviceProblem             no such device
  Refused                     exit 4   the study says no
    FingerprintMismatch       the study was made from another definition
    SchemaMismatch            the database was written by another version
    VersionMismatch           the study runs under other library versions
  StudyBroken                 exit 1   the study's own code fails; carries its traceback
  NoResult                    exit 1   the study is done, and its search found nothing to compare
  Interrupted                 exit 130 (SIGINT), 143 (SIGTERM): a signal ended the run; the study can go on

Outside the tree, since only Python's own handler may catch it: AskedToLeave, a KeyboardInterrupt.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping


def text_of(error: BaseException) -> str:
    """What an exception says; any code may have written it, and its `__str__` may raise in turn."""
    try:
        return str(error)
    except BaseException as further:  # noqa: BLE001 - as the traceback module does
        return f"(its text cannot be shown: {type(further).__name__})"


class LrSearchError(Exception):
    """The trunk. Its text is one line for a person: what, where, what is allowed, the next move."""

    exit_code = 1
    traceback_text = ""  # the study's own traceback, where there is one


class CallerError(LrSearchError):
    """The caller gave something that is not allowed."""

    exit_code = 2


class InvalidValue(CallerError):
    """A field holds a value that is not allowed: `field must be allowed; got value. fix`."""

    def __init__(self, field: str, *, got: object, allowed: str, fix: str = "") -> None:
        super().__init__(f"{field} must be {allowed}; got {got!r}. {fix}".rstrip())
        self.field, self.got, self.allowed = field, got, allowed


class UnknownName(CallerError):
    """A name that is not in a known list; the nearest known ones are suggested."""

    def __init__(self, kind: str, *, got: str, known: Iterable[str], fix: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(got, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names) or 'none'}." if names or not fix else ""
        super().__init__(" ".join(filter(None, [f"no {kind} named {got!r}.", hint, fix])))
        self.kind, self.got, self.known = kind, got, names


class StudyFileError(CallerError):
    """The study file cannot be used; `traceback_text` is the file's own traceback, or empty."""

    def __init__(self, message: str, *, traceback_text: str = "") -> None:
        super().__init__(message)
        self.traceback_text = traceback_text


class EnvironmentProblem(LrSearchError):
    """The machine, a device or the database is not as it must be."""

    exit_code = 3


class StorageProblem(EnvironmentProblem):
    """The database cannot be used as it is."""


class StorageUnavailable(StorageProblem):
    """The database did not answer in time; another try may succeed."""


class StorageGone(StorageProblem):
    """The database's file was deleted or replaced while it was in use: nothing that is written would be found again."""


class DeviceProblem(EnvironmentProblem):
    """A device that was asked for is not there."""


class Refused(LrSearchError):
    """The request is well-formed, but the study must refuse it."""

    exit_code = 4


_EDITED = "Go on with the file and options that it began with{accept}, or give this one a name of its own with --name NEW."
_DRAWN = (
    "Every worker loads the data and makes the file's own layers for itself: give whatever is drawn at random a fixed seed, "
    "as in train_test_split(..., random_state=0) or keras.utils.set_random_seed(0). Data that is meant to be other data "
    "needs a study of its own: --name NEW."
)


class FingerprintMismatch(Refused):
    """The stored study was made from another definition, or from other data; `differences` maps field to (stored, given).

    `acceptable` are those of them that --accept-change may name.
    """

    def __init__(self, study: str, *, differences: Mapping[str, tuple[object, object]], acceptable: Collection[str] = ()) -> None:
        shown = "; ".join(f"{field}: {old} in the study, {new} here" for field, (old, new) in differences.items())
        drawn = bool(differences) and all(field.startswith(("data.", "layers")) for field in differences)
        options = " ".join(f"--accept-change {field}" for field in differences)
        accept = f", go on with this one by {options}" if set(differences) <= set(acceptable) else ""
        made = "other data" if drawn else "another definition"
        fix = _DRAWN if drawn else _EDITED.format(accept=accept)
        super().__init__(f"study {study!r} was made from {made} ({shown}). {fix}")
        self.differences = dict(differences)


class SchemaMismatch(Refused):
    """The database's tables were written by another version of lrsearch or Optuna."""


class VersionMismatch(Refused):
    """Library versions that differ from those that the study runs under."""


class StudyBroken(LrSearchError):
    """The study's own code fails on every trial; `traceback_text` shows where."""

    def __init__(self, message: str, *, traceback_text: str = "") -> None:
        super().__init__(message)
        self.traceback_text = traceback_text


class NoResult(LrSearchError):
    """The study has come to its end, and no searched trial ran well."""


class Interrupted(LrSearchError):
    """A signal ended the run; the study is whole and can go on."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number


class AskedToLeave(KeyboardInterrupt):
    """The user's second Ctrl-C where training runs in their own process: engines let it pass, and blame no trial for it."""
