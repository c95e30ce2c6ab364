"""Retests of a study with folds: as many on every fold, or a refusal in one line."""

import pytest
from ledger_tools import add_worker, facts, setting, train

from lrsearch.errors import InvalidValue, Refused
from lrsearch.launch import racing, retesting
from lrsearch.launch.creating import create_or_resume, make_plan
from lrsearch.messages import Inspection
from lrsearch.options import MachineOptions, RetestOptions, SearchOptions
from lrsearch.storage import open_ledger

FOUND = Inspection(
    facts=facts(folds=5, fold_ratio=0.25),
    dimensions=(),
    references=(setting(0.1, "sgd"),),
    seed=5,
)
SEARCH = SearchOptions()


@pytest.fixture
def stored(tmp_path):
    """The machine's options of a study with five folds whose search is over."""
    url = f"sqlite:///{tmp_path}/toy.db"
    ledger = open_ledger(url, create=True)
    asked = SearchOptions(trials=2, retest=0)
    study = create_or_resume(ledger, asked, make_plan(asked, "toy", "toy.py", FOUND))
    train(ledger, study, add_worker(ledger, study))
    ledger.close()
    return MachineOptions(storage=url)


def test_every_fold_is_retested_once_where_nothing_else_is_asked():
    assert make_plan(SEARCH, "toy", None, FOUND).retest_seeds == 5
    assert make_plan(SearchOptions(retest=10), "toy", None, FOUND).retest_seeds == 10
    assert make_plan(SearchOptions(retest=0), "toy", None, FOUND).retest_seeds == 0


def test_retests_that_do_not_cover_the_folds_alike_are_refused_when_a_study_is_made():
    with pytest.raises(InvalidValue) as error:
        make_plan(SearchOptions(retest=3), "toy", None, FOUND)
    assert str(error.value) == (
        "--retest must be a multiple of the study's 5 folds; got 3. "
        "Every setting is retested on all of them, so that their means compare."
    )


def test_retests_that_do_not_cover_the_folds_alike_are_refused_afterwards(stored):
    with pytest.raises(InvalidValue) as error:
        retesting.retest("toy", RetestOptions(seeds=7), SEARCH, stored, plan_only=True)
    assert str(error.value).startswith(
        "seeds must be a multiple of the study's 5 folds; got 7."
    )
    added = retesting.retest(
        "toy", RetestOptions(seeds=5), SEARCH, stored, plan_only=True
    )
    assert added.taken.added == 10


def test_a_race_over_folds_is_refused_and_names_what_to_do_instead(stored):
    with pytest.raises(Refused) as error:
        racing.race("toy", 30, SEARCH, stored, plan_only=True)
    assert str(error.value).endswith("Use lrsearch retest toy --seeds 10.")
