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
  CannotExport                exit 1   a setting that cannot be written as code
  NoResult                    exit 1   the study is done, and its search found nothing to compare
  Interrupted                 exit 130 (SIGINT), 143 (SIGTERM): a signal ended the run

Outside the tree, since only Python's own handler may catch it: AskedToLeave, a
KeyboardInterrupt.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


def text_of(error: BaseException) -> str:
    """The text of an exception, whose `__str__` may be anybody's and raise in turn."""
    try:
        return str(error)
    except BaseException as further:  # noqa: BLE001 - as the traceback module does
        return f"(its text cannot be shown: {type(further).__name__})"


class LrSearchError(Exception):
    """The base of all errors; its text is one line: what, where, what is allowed, what to do next.

    Programs read the parts, too. The text ends with `fix`.
    """

    exit_code = 1
    retryable = False  # whether the same call may succeed later, with nothing changed
    traceback_text = ""  # the study's own traceback, where there is one
    field: str | None = None
    got: object = None
    allowed: object = None  # words, or a list of what is allowed
    fix = ""

    def __init__(
        self, message: str, *, fix: str = "", traceback_text: str = ""
    ) -> None:
        # The texts of other libraries end without a full stop.
        stop = "." if fix and message[-1:].isalnum() else ""
        super().__init__(f"{message}{stop} {fix}".rstrip())
        self.fix, self.traceback_text = fix, traceback_text

    def to_json(self) -> dict[str, Any]:
        """The error as a document for programs."""
        return {
            "error": str(self),
            "kind": type(self).__name__,
            "field": self.field,
            "got": plain(self.got),
            "allowed": plain(self.allowed),
            "fix": self.fix or None,
            "retryable": self.retryable,
            "exit_code": self.exit_code,
            "traceback": self.traceback_text or None,
        }


class CallerError(LrSearchError):
    """The caller gave something that is not allowed."""

    exit_code = 2


class InvalidValue(CallerError):
    """A field holds a value that is not allowed: `field must be allowed; got value. fix`."""

    def __init__(self, field: str, *, got: object, allowed: str, fix: str = "") -> None:
        super().__init__(f"{field} must be {allowed}; got {got!r}.", fix=fix)
        self.field, self.got, self.allowed = field, got, allowed


class UnknownName(CallerError):
    """A name that is not in a known list; the nearest known ones are suggested."""

    def __init__(
        self, kind: str, *, got: str, known: Iterable[str], fix: str = ""
    ) -> None:
        names = sorted(known)
        near = nearest_name(got, names)
        listed = f"Known: {', '.join(names) or 'none'}." if names or not fix else ""
        hint = f"Did you mean {near!r}?" if near is not None else listed
        super().__init__(f"no {kind} named {got!r}.", fix=f"{hint} {fix}".strip())
        self.kind, self.got, self.known = kind, got, names
        self.field, self.allowed = kind, names or None


def nearest_name(got: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely means; None where none is similar.

    Among similar names the one with the fewest slips counts: `adma` is `adam` with two
    letters exchanged, though it shares more letters with `adamax`.
    """
    folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    alike = difflib.get_close_matches(
        got.casefold(), sorted(folded), n=max(1, len(folded))
    )
    return (
        folded[min(alike, key=lambda each: slips(got.casefold(), each))]
        if alike
        else None
    )


def slips(one: str, other: str) -> int:
    """The slips that turn one word into another.

    A slip adds, drops or replaces a letter, or exchanges neighbours.
    """
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            found = min(
                rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != wanted)
            )
            if min(i, j) > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
                found = min(found, rows[-2][j - 2] + 1)
            row.append(found)
        rows.append(row)
    return rows[-1][-1]


def plain(value: object) -> Any:
    """Convert `value` to JSON; objects unknown to JSON become their text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(value)
    return (
        value if value is None or isinstance(value, str | bool | int) else repr(value)
    )


class StudyFileError(CallerError):
    """The study file cannot be used; `traceback_text` is the file's own traceback, or empty."""

    field = "study file"


class EnvironmentProblem(LrSearchError):
    """The machine, a device or the database is not as it must be."""

    exit_code = 3


class StorageProblem(EnvironmentProblem):
    """The database cannot be used as it is."""

    field = "storage"


class StorageUnavailable(StorageProblem):
    """The database did not answer in time; another try may succeed."""

    retryable = True


class StorageGone(StorageProblem):
    """The database's file was deleted or replaced while in use: what is written would be lost."""


class DeviceProblem(EnvironmentProblem):
    """A device that was asked for is not there."""

    field = "devices"


class Refused(LrSearchError):
    """The request is well-formed, but the study must refuse it."""

    exit_code = 4


_EDITED = (
    "Go on with the file and options that it began with{accept}, or give this one a name "
    "of its own with --name NEW."
)
_DRAWN = (
    "Every worker loads the data and makes the file's own layers for itself: give whatever is "
    "drawn at random a fixed seed, as in train_test_split(..., random_state=0) or "
    "keras.utils.set_random_seed(0). Data that is meant to be other data needs a study of its "
    "own: --name NEW."
)


class FingerprintMismatch(Refused):
    """The stored study was made from another definition, or from other data.

    `differences` maps field to (stored, given). `acceptable` are those that
    --accept-change may name.
    """

    def __init__(
        self,
        study: str,
        *,
        differences: Mapping[str, tuple[object, object]],
        acceptable: Collection[str] = (),
    ) -> None:
        shown = "; ".join(
            f"{field}: {old} in the study, {new} here"
            for field, (old, new) in differences.items()
        )
        drawn = bool(differences) and all(
            field.startswith(("data.", "layers")) for field in differences
        )
        options = " ".join(f"--accept-change {field}" for field in differences)
        accept = (
            f", go on with this one by {options}"
            if set(differences) <= set(acceptable)
            else ""
        )
        made = "other data" if drawn else "another definition"
        fix = _DRAWN if drawn else _EDITED.format(accept=accept)
        super().__init__(f"study {study!r} was made from {made} ({shown}).", fix=fix)
        self.differences = dict(differences)
        self.field = ", ".join(differences)
        self.allowed = {field: old for field, (old, _) in differences.items()}
        self.got = {field: new for field, (_, new) in differences.items()}


class SchemaMismatch(Refused):
    """The database's tables were written by another version of lrsearch or Optuna."""


class VersionMismatch(Refused):
    """Library versions that differ from those that the study runs under."""


class StudyBroken(LrSearchError):
    """The study's own code fails on every trial; `traceback_text` shows where."""


class CannotExport(LrSearchError):
    """A setting that cannot be written as code that trains alike; the text says why."""


class NoResult(LrSearchError):
    """The study has come to its end, and no searched trial ran well."""


class Interrupted(LrSearchError):
    """A signal ended the run; the study is whole and can go on."""

    retryable = True

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number


class AskedToLeave(KeyboardInterrupt):
    """The user's second Ctrl-C where training runs in their own process.

    Engines let it pass: no trial fails by it.
    """
