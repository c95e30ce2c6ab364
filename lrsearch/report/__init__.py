"""How a study is shown: tables, pages, pictures, exports, notes.

Reads records and answers; changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.lazy import lazy_names

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
    from lrsearch.report.studies import studies_table, study_rows
    from lrsearch.report.trial_page import trial_data, trial_text
    from lrsearch.report.trials import trial_row, trials_table
    from lrsearch.report.workers import worker_rows, workers_table

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

# Loaded on first use: words alone need neither SQL nor pictures.
__getattr__ = lazy_names(
    __name__,
    answer_page=["answer_text"],
    bill=["bill_text", "spent_text"],
    curves_picture=["curves_figure"],
    exporting=["choose", "export_text"],
    finding=["find_trial"],
    notebook_page=["answer_html"],
    notes=["write_notes"],
    pictures=["write_plots"],
    rates_picture=["rates_figure"],
    schedules_picture=["schedules_figure"],
    status_page=["status_data", "status_text"],
    studies=["studies_table", "study_rows"],
    trial_page=["trial_data", "trial_text"],
    trials=["trial_row", "trials_table"],
    workers=["worker_rows", "workers_table"],
)
