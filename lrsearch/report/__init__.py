"""How a study is shown: tables, pages, pictures, exports, notes. Reads records and answers; changes nothing."""

from lrsearch.report.answer_page import answer_text
from lrsearch.report.exporting import choose, export_text
from lrsearch.report.notes import write_notes
from lrsearch.report.pictures import curves_figure, rates_figure, schedules_figure, write_plots
from lrsearch.report.tables import (
    status_data,
    status_text,
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
    "answer_text",
    "choose",
    "curves_figure",
    "export_text",
    "rates_figure",
    "schedules_figure",
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
