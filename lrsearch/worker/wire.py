"""Errors across a process boundary: told as JSON by the worker, raised again as the same class by
the parent.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from lrsearch import errors
from lrsearch.errors import LrSearchError, StudyBroken, plain, text_of
from lrsearch.values import Json

_CLASSES = {
    each.__name__: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, LrSearchError)
}

_PARTS = ("field", "got", "allowed", "fix")  # for programs


def told(error: BaseException) -> dict[str, Json]:
    """`error` as the facts of an `error` event."""
    kind, text = type(error).__name__, text_of(error)
    if isinstance(error, LrSearchError):
        parts = {name: plain(getattr(error, name)) for name in _PARTS}
        return {
            "kind": kind,
            "text": text,
            "traceback": error.traceback_text,
            "exit_code": error.exit_code,
            "parts": parts,
        }
    shown = "".join(traceback.format_exception(error))
    return {"kind": kind, "text": f"{kind}: {text}", "traceback": shown, "exit_code": 1}


def raised(facts: Mapping[str, Json]) -> LrSearchError:
    """The same error, to be raised here; one that is not ours becomes StudyBroken with its
    traceback.
    """
    known = _CLASSES.get(facts["kind"])
    if known is None:
        return StudyBroken(f"a worker failed: {facts['text']}", traceback_text=facts["traceback"])
    error = known.__new__(known)
    Exception.__init__(error, facts["text"])
    error.traceback_text = facts["traceback"]
    for name, value in facts.get("parts", {}).items():
        setattr(error, name, value)
    return error
