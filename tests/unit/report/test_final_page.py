"""What a final training says: inside the interval or not, and when nothing can be said."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_tools import plan, setting

from lrsearch.errors import InvalidValue
from lrsearch.report.final_page import final_data, final_text
from lrsearch.report.recipe import Recipe, read_recipe
from lrsearch.values import Outcome, Status, StudyRecord, StudyState

STUDY = StudyRecord(
    id=1, plan=plan(), state=StudyState.FINISHED, reason="", trials=2, deadline=None, created_at=0.0, optuna_study_id=1,
)  # fmt: skip
RECIPE = Recipe(
    study=STUDY,
    trial=7,
    setting=setting(),
    yours=False,
    value=0.9,
    retests=3,
    interval=(0.8, 1.0),
)


def said(value=0.9, *, recipe=RECIPE, epochs=None, problem="", **more):
    outcome = Outcome(
        trial_id=0,
        attempt=1,
        status=Status.COMPLETE,
        engine="fit",
        value=value,
        seconds=2.0,
        **more,
    )
    data = final_data(
        recipe, outcome, seed=5, epochs=epochs, problem=problem, output=Path("m.keras")
    )
    return data, final_text(recipe, data)


@pytest.mark.parametrize(
    ("value", "inside", "words"),
    [
        (0.85, True, "lies in the interval 0.800 to 1.000 that 3 fresh seeds gave"),
        (0.7, False, "1 of 20"),
    ],
)
def test_it_says_whether_the_value_lies_in_the_interval(value, inside, words):
    data, text = said(value)
    assert data["inside"] is inside
    assert words in text


def test_it_claims_nothing_for_another_length_or_without_an_interval():
    data, text = said(epochs=9)
    assert data["inside"] is None
    assert "another length" in text
    data, text = said(recipe=replace(RECIPE, interval=None, retests=1))
    assert data["inside"] is None
    assert "how far trainings differ is not known" in text


def test_it_says_the_test_split_and_why_a_file_does_not_load():
    _, text = said(
        logs={"test_accuracy": 0.88, "loss": 0.1}, problem="Unknown layer: 'Mine'"
    )
    assert "test_accuracy 0.8800" in text
    assert "loss" not in text.replace("val_loss", "")
    assert "Unknown layer: 'Mine'" in text


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", json.dumps({"record": {}, "trial": 1, "retest": None})],
)
def test_a_file_that_is_no_export_is_refused_in_one_line(tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(InvalidValue, match="lrsearch export") as refused:
        read_recipe(file)
    assert "\n" not in str(refused.value)
