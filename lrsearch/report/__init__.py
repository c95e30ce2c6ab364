"""How a study is shown: tables, pages, pictures, exports, notes.

Reads records and answers; changes nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrsearch.report.answer_page import answer_text
    from lrsearch.report.bill import bill_text, spent_text
    from lrsearch.report.curves_picture import curves_figure
    from lrsearch.report.exporting import choose, export_text
    from lrsearch.report.finding import find_trial
    from lrsearch.report.notebook_page import answer_html
    from lrsearch.report.notes import write_notes
    from lrsearch.report.pictures import write_plots
    from lrsearch.report.rates_picture import rates_figure
    from lrsearch.report.schedules_picture import schedules_figure
    from lrsearch.report.status_page import status_data, status_text
    from lrsearch.report.tables import (
        studies_table,
        study_rows,
        trial_data,
        trial_row,
        trial_text,
        trials_table,
        worker_rows,
        workers_table,
    )

__all__ = [
    "answer_html",
    "answer_text",
    "bill_text",
    "choose",
    "curves_figure",
    "export_text",
    "find_trial",
    "rates_figure",
    "schedules_figure",
    "spent_text",
    "status_data",
    "status_text",
    "studies_table",
    "study_rows",
    "trial_data",
    "trial_row",
    "trial_text",
    "trials_table",
    "worker_rows",
    "workers_table",
    "write_notes",
    "write_plots",
]

_HOMES = {
    "answer_html": "lrsearch.report.notebook_page",
    "answer_text": "lrsearch.report.answer_page",
    "bill_text": "lrsearch.report.bill",
    "choose": "lrsearch.report.exporting",
    "curves_figure": "lrsearch.report.curves_picture",
    "export_text": "lrsearch.report.exporting",
    "find_trial": "lrsearch.report.finding",
    "rates_figure": "lrsearch.report.rates_picture",
    "schedules_figure": "lrsearch.report.schedules_picture",
    "spent_text": "lrsearch.report.bill",
    "status_data": "lrsearch.report.status_page",
    "status_text": "lrsearch.report.status_page",
    "studies_table": "lrsearch.report.tables",
    "study_rows": "lrsearch.report.tables",
    "trial_data": "lrsearch.report.tables",
    "trial_row": "lrsearch.report.tables",
    "trial_text": "lrsearch.report.tables",
    "trials_table": "lrsearch.report.tables",
    "worker_rows": "lrsearch.report.tables",
    "workers_table": "lrsearch.report.tables",
    "write_notes": "lrsearch.report.notes",
    "write_plots": "lrsearch.report.pictures",
}


def __getattr__(name: str) -> Any:
    """Loaded on first use: words alone need neither SQL nor pictures."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lrsearch.report' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
