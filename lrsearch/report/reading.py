"""Makes the answer of a stored study, the same way for every view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.answer import ONE_PERCENT, SHELL, Answer, Margin, Ways, summarise
from lrsearch.values import StudyRecord, Trials

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def read_answer(
    ledger: Ledger,
    study: StudyRecord,
    records: Trials,
    *,
    margin: Margin = ONE_PERCENT,
    ways: Ways = SHELL,
) -> Answer:
    """Make the answer of `study` from its `records`, and the attempts and row scores of the ledger.

    `margin` is how large a difference counts; `ways` is where a reader types the next
    step.
    """
    attempts, scores = ledger.all_attempts(study.id), ledger.row_scores(study.id)
    return summarise(study, records, attempts, scores=scores, margin=margin, ways=ways)
