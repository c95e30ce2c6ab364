"""A study's row scores, from its trainings through the database to whoever reads them."""

from contextlib import closing

import pytest
from row_worlds import OTHERS, TESTED, VALIDATED, Kind, regression

import lrsearch
from lrsearch import SearchSpace
from lrsearch.storage import open_ledger
from lrsearch.values import NO_ROW_SCORES

pytestmark = pytest.mark.slow
SPACE = {"space": SearchSpace(optimizers=["sgd"], schedules=["linear"])}
OPTIONS = {"engine": "graph", "trials": 2, "retest": 1, "quiet": True}


def searched(kind, folder, monkeypatch):
    """The records of a search, and the row scores that its ledger has."""
    url = f"sqlite:///{folder}/studies.db"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LRSEARCH_STORAGE", url)
    result = lrsearch.search(kind.definition(**SPACE), **OPTIONS)
    with closing(open_ledger(url)) as ledger:
        return result.records, ledger.row_scores(result.study.id)


def test_trials_keep_validation_rows_and_retests_test_rows_too(tmp_path, monkeypatch):
    kind = Kind(regression(metrics=["mae"]), objective="val_mae")
    records, scores = searched(kind, tmp_path, monkeypatch)
    assert {each.id for each in records if each.has_value} == set(scores)
    assert {each.is_retest for each in records} == {True, False}
    digests = {"validation": set(), "test": set()}
    for record in records:
        rows = scores[record.id]
        assert set(rows) == (
            {"validation", "test"} if record.is_retest else {"validation"}
        )
        assert rows["validation"].values.mean() == pytest.approx(record.value, rel=1e-4)
        for split, each in rows.items():
            assert each.rows == {"validation": VALIDATED, "test": TESTED}[split]
            digests[split].add(each.digest)
    assert {split: len(each) for split, each in digests.items()} == {
        "validation": 1,
        "test": 1,
    }


def test_trials_of_an_objective_without_rows_are_noted_alike(tmp_path, monkeypatch):
    kind, reason = OTHERS["RMSE"]
    records, scores = searched(kind, tmp_path, monkeypatch)
    assert scores == {}
    assert {note for each in records for note in each.notes} == {
        f"{NO_ROW_SCORES}{reason}"
    }
