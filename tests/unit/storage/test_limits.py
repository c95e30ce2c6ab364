"""Work that must not hold up its caller."""

import threading

import pytest

from lrsearch.errors import StorageUnavailable
from lrsearch.storage.database import Database
from lrsearch.storage.limits import Errand


def test_an_errand_hands_over_what_its_work_returned_or_raised():
    assert Errand(lambda: 7).result(60) == 7
    with pytest.raises(KeyError):
        Errand(lambda: {}["nothing"]).result(60)


def test_an_errand_that_takes_too_long_is_left_to_itself():
    go = threading.Event()
    errand = Errand(go.wait)
    with pytest.raises(TimeoutError):
        errand.result(0.01)
    assert errand.running
    go.set()
    assert errand.result(60)


def test_a_hurried_call_that_hangs_is_left_and_the_next_ones_are_refused_at_once(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("lrsearch.storage.database.HURRY_SECONDS", 0.01)
    database, go, done = Database(f"sqlite:///{tmp_path}/some.db"), threading.Event(), []
    with pytest.raises(StorageUnavailable, match="within"):
        database.hurriedly(lambda connection: go.wait() and done.append(1))
    with pytest.raises(StorageUnavailable, match="a moment ago"):
        database.hurriedly(lambda connection: done.append(2))
    go.set()
    database._errand.result(60)
    assert done == [1]
    database.close()
