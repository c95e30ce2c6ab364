"""The answer as a notebook shows it: a table of settings, the picture of rates, the notes.

Needs no pandas. Colours and fonts are the notebook's, which may be dark: only spaces
are set here.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape

from lrsearch.answer import Answer, Contender, evidence_text, verdict_text
from lrsearch.answer.words import rate_text
from lrsearch.errors import EnvironmentProblem
from lrsearch.report.answer_page import (
    NOTHING_YET,
    band_text,
    ends_text,
    expected_text,
    inseparable_text,
)
from lrsearch.report.bill import early_stops_text, spent_text
from lrsearch.report.words import (
    aim_text,
    run_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import StudyRecord, Trials

_CELL = "padding: 2px 10px; text-align: left; white-space: nowrap"


def answer_html(study: StudyRecord, records: Trials, answer: Answer) -> str:
    """The whole output of a cell."""
    aim = escape(aim_text(answer.objective, answer.direction))
    notes = "".join(f"<li>{escape(each)}</li>" for each in answer.warnings)
    stops = early_stops_text(answer.stops)
    verdict = escape(f"{verdict_text(answer.verdict)} {answer.next.text}")
    parts = [
        f"<p><b>{verdict}</b></p>",
        f"<p><b>{escape(answer.study)}</b>: {aim}; {ends_text(answer)}</p>",
        _contenders(answer),
        f"<p>band: {escape(band_text(answer.band))}</p>" if answer.band else "",
        _picture(study, records, answer),
        f"<p>spent: {escape(spent_text(answer.spent))}</p>" if answer.spent else "",
        f"<p>stopped: {escape(stops)}</p>" if stops else "",
        f"<ul>{notes}</ul>" if notes else "",
    ]
    return f"<div>{''.join(parts)}</div>"


def _contenders(answer: Answer) -> str:
    """A line each for yours, the best and the other retested settings."""
    best, yours = answer.best, answer.yours
    if best is None:
        return f"<p>{NOTHING_YET}</p>"
    same = yours is not None and yours.trial == best.trial
    shown = (
        [("yours" if not same else "yours, and the best", yours)]
        if yours is not None
        else []
    )
    shown += [] if same else [("best", best)]
    shown += [
        (f"#{place}", each) for place, each in enumerate(answer.runners_up, start=2)
    ]
    digits = value_digits(each.value for _, each in shown)
    varying = varying_of(answer.ranked)
    head = _row(
        [
            "",
            "trial",
            "optimizer",
            "peak rate",
            "schedule",
            answer.objective,
            "of",
            "",
            "",
        ],
        "th",
    )
    body = "".join(
        _row(
            [
                label,
                *_cells(each, digits, varying),
                expected_text(answer.verdict.expected.get(each.trial), digits),
                _apart(answer, each),
            ],
            "td",
        )
        for label, each in shown
    )
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _cells(each: Contender, digits: int, varying: frozenset[str]) -> list[str]:
    setting, retest = each.setting, each.retest
    spread = retest.spread if retest is not None and retest.mean is not None else None
    value = each.state.value if each.value is None else value_text(each.value, digits)
    return [
        str(each.trial),
        setting.optimizer,
        rate_text(setting.learning_rate),
        run_text(setting, varying),
        value + (f" \u00b1 {spread:.{digits}f}" if spread is not None else ""),
        evidence_text(retest),
    ]


def _apart(answer: Answer, each: Contender) -> str:
    if answer.best is not None and each.trial == answer.best.trial:
        return inseparable_text(answer)
    return "not separable from the best" if each.trial in answer.not_separable else ""


def _row(cells: Iterable[str], tag: str) -> str:
    row = "".join(f'<{tag} style="{_CELL}">{escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{row}</tr>"


def _picture(study: StudyRecord, records: Trials, answer: Answer) -> str:
    """The picture of rates; empty without matplotlib, or where there is nothing to draw."""
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
    words = "value against learning rate, by optimizer"
    return f'<img alt="{words}" src="data:image/png;base64,{data}">'
