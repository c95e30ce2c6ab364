"""A study with folds from its file to its answer: two worker processes, SQLite, and wine."""

import csv

import pytest
from shell import ledger as ledger  # noqa: PLC0414 - a fixture
from shell import run as run  # noqa: PLC0414 - a fixture

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

STUDY = """
import keras
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold
from lrsearch import SearchSpace, StudyDefinition

def load_data():
    x, y = load_wine(return_X_y=True)
    return (((x - x.mean(0)) / x.std(0)).astype("float32"), y), None

def build_model():
    model = keras.Sequential([keras.layers.Input((13,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model

definition = StudyDefinition(
    epochs=2,
    batch_size=32,
    folds=StratifiedKFold(3, shuffle=True, random_state=0),
    space=SearchSpace(optimizers=["sgd"], schedules=["linear"]),
)
"""
COUNT = 3  # folds of 178 rows: 60, 59 and 59


@pytest.fixture
def searched(run, tmp_path):
    """Runs a command: two workers have trained three trials, and all of them on every fold."""
    (tmp_path / "wine.py").write_text(STUDY)
    run("start-study", "wine.py", "--trials", 3, "--workers", 2, "--engine", "graph")
    return run


def test_two_workers_retest_every_setting_on_the_same_rows_of_each_fold_and_all_views_say_so(
    searched, ledger
):
    check_rows(ledger)
    answer = searched("best", "wine", "--json")
    assert answer["verdict"]["validation"]["folds"] == COUNT
    assert answer["verdict"]["counted"] == ["seeds", "folds", "choice"]
    assert answer["yours"]["retest"]["folds"] == [0, 1, 2]
    table = list(
        csv.DictReader(searched("trials", "wine", "--format", "csv").splitlines())
    )
    assert [each["fold"] for each in table if each["kind"] == "search"] == ["0"] * 3
    assert {
        (each["repeat"], each["fold"]) for each in table if each["kind"] == "retest"
    } == {(str(fold), str(fold)) for fold in range(COUNT)}
    second = searched("show", "wine", "0/2", "--json")
    assert (second["fold"], second["notes"][0]) == (1, "trained on fold 1")
    said = searched("retest", "wine", "--seeds", 4, "--plan-only", code=2)
    assert said.startswith("seeds must be a multiple of the study's 3 folds; got 4.")


def check_rows(ledger):
    study = ledger.study("wine")
    records, scores = ledger.trials(study.id), ledger.row_scores(study.id)
    assert (study.facts.folds, study.plan.retest_seeds) == (COUNT, COUNT)
    kept = {each.id: scores[each.id]["validation"] for each in records}
    rows = {
        (each.parent, each.repeat): kept[each.id] for each in records if each.is_retest
    }
    assert rows.keys() == {
        (parent, fold) for parent in range(3) for fold in range(COUNT)
    }
    by_fold = [
        {rows[parent, fold].digest for parent in range(3)} for fold in range(COUNT)
    ]
    assert [len(each) for each in by_fold] == [1, 1, 1], "whichever worker trained it"
    assert len(set().union(*by_fold)) == COUNT
    assert [rows[0, fold].rows for fold in range(COUNT)] == [60, 59, 59]
    assert {kept[each.id].digest for each in records if each.is_search} == by_fold[0]
