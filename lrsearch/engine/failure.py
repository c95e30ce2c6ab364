"""What an exception of the study's code says: its first line, its traceback, a FAILED outcome."""

from __future__ import annotations

import traceback
from pathlib import Path

import tensorflow as tf

from lrsearch.engine.attempt import Attempt
from lrsearch.engine.blame import LEAVING, end_fork
from lrsearch.engine.limits import CannotCarry
from lrsearch.errors import text_of
from lrsearch.values import Outcome

LONGEST_TRACEBACK = 8192  # characters: a traceback's end says most


def fail_attempt(attempt: Attempt, error: BaseException) -> Outcome:
    """The outcome of an attempt that the study's code ended with an exception."""
    end_fork(error)
    memory = isinstance(error, tf.errors.ResourceExhaustedError)
    kind = "out of memory" if memory else type(error).__name__
    reason = f"{kind}: {first_line(error)}"
    return attempt.fail(reason, user_traceback(error), left=isinstance(error, LEAVING))


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, at most 500 characters."""
    return (text_of(error).strip().splitlines() or ["no message"])[0][:500]


def one_line(error: BaseException, place: str = "") -> str:
    """Why an engine cannot train something: the limit that it met, or the error and its place."""
    if isinstance(error, CannotCarry):
        return str(error)
    return f"{type(error).__name__}{place}: {first_line(error)[:200]}"


def user_traceback(error: BaseException) -> str:
    """The traceback without lrsearch's own frames, its last 8 KB."""
    home = str(Path(__file__).parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        "Traceback (most recent call last):\n",
        *traceback.format_list(
            [each for each in frames if not each.filename.startswith(home)]
        ),
        *traceback.format_exception_only(error),
    ]
    return "".join(lines)[-LONGEST_TRACEBACK:]
