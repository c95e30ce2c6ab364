"""Searches in this very process, as notebooks make them: without a name, gone on with,
retested, opened elsewhere.
"""

from dataclasses import replace

import keras
import numpy as np
import pytest

import lrsearch
from lrsearch import SearchSpace, StudyDefinition
from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.values import Kind, TrialState


def build_model():
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def load_data():
    x = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    return (x[:32], y[:32]), (x[32:], y[32:])


DEFINITION = StudyDefinition(
    build_model=build_model,
    load_data=load_data,
    epochs=1,
    batch_size=16,
    space=SearchSpace(optimizers=["sgd"], schedules=["linear"]),
)
OPTIONS = {
    "engine": "graph",
    "retries": 1,
    "trials": 3,
    "retest": 1,
    "checkpoint_every": 5.0,
    "checkpoint_quota": 10**9,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRSEARCH_STORAGE", raising=False)
    return tmp_path


def test_a_cell_goes_on_where_it_stood_another_definition_is_another_study_and_a_result_is_retested(
    folder, capsys
):
    first = lrsearch.search(DEFINITION, **OPTIONS, checkpoints=folder / "kept")
    name = first.study.name
    assert f'lrsearch.load("{name}")' in capsys.readouterr().err
    again = lrsearch.search(DEFINITION, **OPTIONS, quiet=True)
    assert (again.study.id, len(again.records)) == (first.study.id, len(first.records))
    assert {each.engine for each in first.records} == {"graph"}
    other = lrsearch.search(
        replace(DEFINITION, epochs=2),
        **OPTIONS | {"trials": 1, "retest": 0},
        quiet=True,
    )
    assert other.study.name != name
    assert len(lrsearch.load(name).records) == len(first.records)

    more = first.retest(seeds=2, trial=first.best.trial, quiet=True)
    retests = [each for each in more.records if each.kind is Kind.RETEST]
    assert {each.state for each in retests} == {TrialState.COMPLETE}
    assert (more.best.trial != first.best.trial) or more.best.seeds == 2
    assert sum(each.repeat == 1 for each in retests) == len({first.best.trial, 0})
    assert more.retest(seeds=2, top=1, quiet=True).definition is DEFINITION, (
        "what it returns can be retested in turn"
    )
    more.show("0/1")
    assert "retest 1 of trial 0: complete" in capsys.readouterr().out
    with pytest.raises(UnknownName, match="and retests like 0/1"):
        more.show("9/9")

    loaded = lrsearch.load(name)
    assert str(loaded) == str(lrsearch.load(name))
    with pytest.raises(lrsearch.LrSearchError, match="was defined in a notebook"):
        loaded.retest(seeds=3)
    assert len(lrsearch.load(name).records) == len(loaded.records), (
        "nothing is added that nobody here can train"
    )
    with pytest.raises(InvalidValue, match="given by seeds, top or trial"):
        loaded.retest()
