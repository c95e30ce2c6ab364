"""Whose fault an exception is: the study's own code's, or that of `watch` and `save`.

The study's fails a trial; the other leaves the engine. Both come up through Keras and the study's
callbacks, so `watch`'s and `save`'s travel in an exception that no handler of the study's takes for
an error.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from lrsearch.errors import AskedToLeave
from lrsearch.values import Progress, Save, Snapshot, Verdict, Watch

# raised by the study's code, unless this process was told to stop
LEAVING = (SystemExit, KeyboardInterrupt)
_home: int | None = None  # the process that trains, or measures before that


class Ours(BaseException):
    """Carries what `watch` or `save` raised to the engine's door, which raises it as it was."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


PASSING = (Ours, AskedToLeave)  # handlers of the study's exceptions raise these again at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Observer:
    """Who is told of an attempt's progress, and offered its snapshots; by default nobody."""

    watch: Watch = lambda _progress: Verdict.KEEP
    save: Save = lambda _progress, _take: None


@contextmanager
def guard(watch: Watch, save: Save) -> Iterator[Observer]:
    """Around an engine's training: lets what `watch` and `save` raise out as it is.

    A process that the study's code forked, and that comes back to either of them, ends: one process
    trains a trial.
    """
    settle()
    try:
        yield Observer(watch=_marked(watch), save=_marked_save(save))
    except Ours as ours:
        raise ours.error  # noqa: B904 - as if nothing had carried it


def _marked(watch: Watch) -> Watch:
    def marked(progress: Progress) -> Verdict:
        end_fork()
        try:
            return watch(progress)
        except BaseException as error:
            raise Ours(error) from error

    return marked


def _marked_save(save: Save) -> Save:
    """The same for `save`; an error while a snapshot is taken is the study's model's."""

    def marked(progress: Progress, take: Callable[[], Snapshot]) -> None:
        end_fork()
        taking: list[BaseException] = []

        def taken() -> Snapshot:
            try:
                return take()
            except BaseException as error:
                taking.append(error)
                raise

        try:
            save(progress, taken)
        except BaseException as error:
            if error in taking:
                raise
            raise Ours(error) from error

    return marked


def settle() -> None:
    """Remember that this process trains: what it forks has the same memory, and another number."""
    global _home  # noqa: PLW0603 - a process is one thing
    _home = os.getpid()


def end_fork(error: BaseException | None = None) -> None:
    """End this process where the study's code forked it from the one that trains.

    It ends as Python would for `error`.
    """
    if _home is not None and os.getpid() != _home:
        _leave(error)


def _leave(error: BaseException | None) -> NoReturn:
    code: object = error.code if isinstance(error, SystemExit) else 1
    if error is not None and not isinstance(error, SystemExit):
        traceback.print_exception(error)
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
