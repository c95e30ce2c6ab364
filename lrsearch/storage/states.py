"""The table of the states that may follow a study's state, and the function that applies it."""

from __future__ import annotations

from collections.abc import Mapping

from lrsearch.storage import records
from lrsearch.storage.claims import is_over
from lrsearch.storage.transaction import Transaction
from lrsearch.values import StudyState

_OPEN, _DRAINING, _STOPPED = StudyState.OPEN, StudyState.DRAINING, StudyState.STOPPED
_BROKEN, _FINISHED = StudyState.BROKEN, StudyState.FINISHED

FOLLOWS: Mapping[StudyState, frozenset[StudyState]] = {
    _OPEN: frozenset({_DRAINING, _STOPPED, _BROKEN, _FINISHED}),
    _DRAINING: frozenset({_OPEN, _STOPPED, _BROKEN, _FINISHED}),
    # Not draining: `stop` after `stop --now` asks for less.
    _STOPPED: frozenset({_OPEN, _BROKEN, _FINISHED}),
    _BROKEN: frozenset({_OPEN}),
    # Nothing is left to stop. A study with more to train opens. Its last failures may
    # break it.
    _FINISHED: frozenset({_OPEN, _BROKEN}),
}


def change_state(tx: Transaction, wanted: StudyState, reason: str = "") -> StudyState:
    """Bring the study to `wanted` where that may follow; returns the study's state then.

    A study that is opened with nothing left to train is finished.
    """
    now = StudyState(tx.study.state)
    if wanted is _OPEN and wanted is not now and is_over(tx):
        wanted = _FINISHED
    if wanted not in FOLLOWS[now]:
        return now
    tx.change_study(state=wanted.value, reason=records.clean(reason))
    return wanted


def close_if_over(tx: Transaction) -> None:
    """Finish a draining study whose last trial has just ended."""
    if tx.study.state == _DRAINING and is_over(tx):
        change_state(tx, _FINISHED)
