"""Reads from a ledger what a report needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.answer import Answer
from lrsearch.report.html.lines_figures import shown_curves
from lrsearch.report.html.sections import ReportData
from lrsearch.report.reading import read_answer
from lrsearch.values import StudyRecord, Trials

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def gather(
    ledger: Ledger, study: StudyRecord, records: Trials, answer: Answer | None = None
) -> ReportData:
    """What the report of this study shows; curves of those trials alone that it draws."""
    answer = answer or read_answer(ledger, study, records)
    return ReportData(
        study=study,
        records=records,
        answer=answer,
        curves={
            each.id: ledger.curve(each.id) for each in shown_curves(records, answer)
        },
        workers=ledger.workers(study.id),
    )
