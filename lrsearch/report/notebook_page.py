"""The answer as a notebook shows it: a table of settings, the picture of rates, the notes.

Needs no pandas.

Colours and fonts are the notebook's, which may be dark: nothing is set but spaces.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from lrsearch.answer import Answer, Contender, evidence_text
from lrsearch.errors import EnvironmentProblem
from lrsearch.report.bill import spent_text
from lrsearch.report.words import (
    counted,
    further_text,
    rate_text,
    schedule_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import StudyRecord, TrialRecord

_CELL = "padding: 2px 10px; text-align: left; white-space: nowrap"


def answer_html(study: StudyRecord, records: Sequence[TrialRecord], answer: Answer) -> str:
    """The whole output of a cell."""
    ended = ", ".join(f"{number} {state}" for state, number in answer.counts.items() if number)
    better = "higher" if answer.direction == "maximize" else "lower"
    head = (
        f"<b>{escape(answer.study)}</b>: {escape(answer.objective)} ({better} is better); "
        f"{ended or 'no trial yet'}"
    )
    notes = "".join(f"<li>{escape(each)}</li>" for each in answer.warnings)
    parts = [
        f"<p>{head}</p>",
        _contenders(answer),
        _picture(study, records, answer),
        f"<p>spent: {escape(spent_text(answer.spent))}</p>" if answer.spent else "",
        f"<ul>{notes}</ul>" if notes else "",
    ]
    return f"<div>{''.join(parts)}</div>"


def _contenders(answer: Answer) -> str:
    """A line each for yours, the best and the other retested settings."""
    best, yours = answer.best, answer.yours
    if best is None:
        return "<p>No trial has run to its end with a value yet.</p>"
    same = yours is not None and yours.trial == best.trial
    shown = [("yours" if not same else "yours, and the best", yours)] if yours is not None else []
    shown += [] if same else [("best", best)]
    shown += [(f"#{place}", each) for place, each in enumerate(answer.runners_up, start=2)]
    digits = value_digits(each.value for _, each in shown)
    varying = varying_of(
        each.setting for each in answer.ranked if each.setting is not None and not each.is_yours
    )
    head = ["", "trial", "optimizer", "peak rate", "schedule", answer.objective, "of", ""]
    body = [[label, *_cells(each, digits, varying), _apart(answer, each)] for label, each in shown]
    return f"<table><thead>{_row(head, 'th')}</thead><tbody>{''.join(_row(row, 'td') for row in body)}</tbody></table>"


def _cells(each: Contender, digits: int, varying: frozenset[str]) -> list[str]:
    setting, retest = each.setting, each.retest
    spread = retest.spread if retest is not None and retest.mean is not None else None
    value = each.state.value if each.value is None else value_text(each.value, digits)
    return [
        str(each.trial),
        setting.optimizer,
        rate_text(setting.learning_rate),
        "; ".join(filter(None, [schedule_text(setting), further_text(setting, varying)])),
        value + (f" \u00b1 {spread:.{digits}f}" if spread is not None else ""),
        evidence_text(retest),
    ]


def _apart(answer: Answer, each: Contender) -> str:
    if answer.best is not None and each.trial == answer.best.trial:
        others = [trial for trial in answer.not_separable if trial != each.trial]
        return f"{counted(len(others), 'other')} not separable from it" if others else ""
    return "not separable from the best" if each.trial in answer.not_separable else ""


def _row(cells: Sequence[str], tag: str) -> str:
    return (
        "<tr>"
        + "".join(f'<{tag} style="{_CELL}">{escape(cell)}</{tag}>' for cell in cells)
        + "</tr>"
    )


def _picture(study: StudyRecord, records: Sequence[TrialRecord], answer: Answer) -> str:
    """The picture of rates; without matplotlib, or with nothing to draw, the table stands alone."""
    if answer.best is None:
        return ""
    try:
        from lrsearch.report.rates_picture import rates_figure

        figure = rates_figure(study, records, answer)
    except EnvironmentProblem:
        return ""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    data = base64.b64encode(drawn.getvalue()).decode()
    return (
        f'<img alt="value against learning rate, by optimizer" src="data:image/png;base64,{data}">'
    )
