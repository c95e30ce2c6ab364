"""Errors of a worker as messages, and back: the parent raises them as the same class."""

from __future__ import annotations

import traceback

from lrsearch import errors
from lrsearch.errors import LrSearchError, StudyBroken, plain, text_of
from lrsearch.messages import WorkerFailed

_CLASSES = {
    each.__name__: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, LrSearchError)
}

_PARTS = ("field", "got", "allowed", "fix")  # for programs


def error_to_message(error: BaseException) -> WorkerFailed:
    """Convert an error to the message that tells the parent."""
    kind, text = type(error).__name__, text_of(error)
    if not isinstance(error, LrSearchError):
        shown = "".join(traceback.format_exception(error))
        return WorkerFailed(
            kind=kind, text=f"{kind}: {text}", traceback=shown, exit_code=1
        )
    return WorkerFailed(
        kind=kind,
        text=text,
        traceback=error.traceback_text,
        exit_code=error.exit_code,
        parts={name: plain(getattr(error, name)) for name in _PARTS},
    )


def error_from_message(failed: WorkerFailed) -> LrSearchError:
    """Convert a message to the error that the parent raises; a foreign class is StudyBroken."""
    known = _CLASSES.get(failed.kind)
    if known is None:
        fix = "The traceback shows where; lrsearch doctor checks this machine."
        text = f"a worker failed: {failed.text}"
        return StudyBroken(text, fix=fix, traceback_text=failed.traceback)
    error = known.__new__(known)
    Exception.__init__(error, failed.text)
    error.traceback_text = failed.traceback
    for name, value in failed.parts.items():
        setattr(error, name, value)
    return error
