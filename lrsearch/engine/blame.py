"""Whose fault an exception is: the study's own code's, or that of `watch` and `save`.

An exception of the study's code fails a trial; one of `watch` or `save` leaves the
engine. Both come up through Keras and the study's callbacks. So what `watch` and `save`
raise travels in an exception that no handler of the study's takes for an error.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lrsearch.errors import AskedToLeave
from lrsearch.values import (
    Outcome,
    Progress,
    Save,
    Snapshot,
    Source,
    TrialSpec,
    Verdict,
    Watch,
)

# Raised by the study's code, unless this process was asked to stop.
LEAVING = (SystemExit, KeyboardInterrupt)
_trainer: int | None = None  # the process that trains, or measures before that


class FromCaller(BaseException):
    """Carries what `watch` or `save` raised to `guard`, which raises it as it was."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


# handlers of the study's exceptions raise these again at once
PASSING = (FromCaller, AskedToLeave)


@dataclass(frozen=True, kw_only=True, slots=True)
class Observer:
    """Who learns of an attempt's progress, and is offered its snapshots; by default nobody."""

    watch: Watch = lambda _progress: Verdict.KEEP
    save: Save = lambda _progress, _take: None


@contextmanager
def guard(watch: Watch, save: Save) -> Iterator[Observer]:
    """Around an engine's training: let what `watch` and `save` raise out as it is.

    A process that the study's code forked ends where it calls either of them: one
    process trains a trial.
    """
    note_process()
    try:
        yield Observer(watch=_mark_watch(watch), save=_mark_save(save))
    except FromCaller as carrier:
        raise carrier.error  # noqa: B904 - as if nothing had carried it


def train_each(
    train_one: Callable[[TrialSpec, Observer], Outcome],
    source: Source,
    watch: Watch,
    save: Save,
) -> Iterator[Outcome]:
    """Train what `source` hands out, one attempt after another, under `guard`."""
    with guard(watch, save) as observer:
        while (spec := source()) is not None:
            yield train_one(spec, observer)


def _mark_watch(watch: Watch) -> Watch:
    def marked(progress: Progress) -> Verdict:
        end_fork()
        try:
            return watch(progress)
        except BaseException as error:  # each is the caller's, an exit too
            raise FromCaller(error) from error

    return marked


def _mark_save(save: Save) -> Save:
    """Mark `save` likewise; an error while a snapshot is taken is one of the study's model."""

    def marked(progress: Progress, take: Callable[[], Snapshot]) -> None:
        end_fork()
        models: list[BaseException] = []

        def take_or_note() -> Snapshot:
            try:
                return take()
            except BaseException as error:  # noted alone: whose the error is
                models.append(error)
                raise

        try:
            save(progress, take_or_note)
        except BaseException as error:  # as in `_mark_watch`
            if error in models:
                raise
            raise FromCaller(error) from error

    return marked


def note_process() -> None:
    """Remember that this process trains: its forks have the same memory, and another number."""
    global _trainer  # noqa: PLW0603 - a process is one thing
    _trainer = os.getpid()


def end_fork(error: BaseException | None = None) -> None:
    """End this process, as Python would for `error`, if the study's code forked it."""
    if _trainer is None or os.getpid() == _trainer:
        return
    code: object = error.code if isinstance(error, SystemExit) else 1
    if error is not None and not isinstance(error, SystemExit):
        traceback.print_exception(error)
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
