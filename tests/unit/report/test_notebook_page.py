"""How a notebook shows a result: HTML of its own, with the picture where matplotlib is there."""

import sys
from dataclasses import replace

import pytest
from ledger_tools import facts, plan, setting

from lrsearch.answer import NOTEBOOK, summarise
from lrsearch.report.notebook_page import answer_html
from lrsearch.values import (
    Kind,
    Origin,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)

STUDY = StudyRecord(
    id=1, plan=plan(name="<b>bold</b>", facts=facts()), state=StudyState.FINISHED, reason="", trials=2, deadline=None,
    created_at=0.0, optuna_study_id=1,
)  # fmt: skip


def trial(number, value, **more):
    known = {
        "id": number, "number": number, "kind": Kind.SEARCH, "origin": Origin.SAMPLED if number else Origin.YOURS,
        "state": TrialState.COMPLETE, "setting": setting(0.01 * 2.0**number), "seed": 1, "value": value, "epochs": 3,
    }  # fmt: skip
    return TrialRecord(**known | more)


@pytest.fixture
def records():
    retests = [
        trial(
            10 + place,
            0.8 + place / 100,
            kind=Kind.RETEST,
            parent=place % 2,
            repeat=place // 2,
            seed=place // 2,
        )
        for place in range(4)
    ]
    return [trial(0, 0.8), trial(1, 0.9), *retests]


def shown(records):
    return answer_html(STUDY, records, summarise(STUDY, records, ways=NOTEBOOK))


def test_a_result_shows_its_settings_its_picture_and_its_notes(records):
    page = shown(records)
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert page.count("<tr>") == 3
    assert "0.820 \u00b1 0.014" in page
    assert "2 seeds" in page
    assert "not separable from the best" in page
    assert page.startswith("<div><p><b>Undecided: trial 1 gains ")
    step = summarise(STUDY, records, ways=NOTEBOOK).next
    assert f" {step.text}</b></p>" in page
    assert 'src="data:image/png;base64,iVBOR' in page


def test_without_matplotlib_the_table_stands_alone(records, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    page = shown(records)
    assert "<img" not in page
    assert page.count("<tr>") == 3


def test_a_study_without_a_value_yet_says_so(records):
    assert "No trial has run to its end" in shown(
        [replace(records[0], state=TrialState.DIVERGED, value=None)]
    )
    assert "<table>" not in shown([])


def test_what_was_spent_is_said_as_in_a_terminal():
    page = answer_html(STUDY, (), summarise(STUDY, (), []))
    assert "spent: 0 trainings, 0 epochs" in page
