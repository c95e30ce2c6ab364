"""Work that must not hold up its caller."""

import threading

import pytest

from lrsearch.errors import StorageUnavailable
from lrsearch.storage.database import Database
from lrsearch.storage.limits import call_detached


def test_a_detached_call_hands_over_what_its_work_returned_or_raised():
    assert call_detached(lambda: 7).result(60) == 7
    with pytest.raises(KeyError):
        call_detached(lambda: {}["nothing"]).result(60)


def test_a_detached_call_that_takes_too_long_is_left_to_itself():
    go = threading.Event()
    call = call_detached(go.wait)
    with pytest.raises(TimeoutError):
        call.result(0.01)
    assert not call.done()
    go.set()
    assert call.result(60)


def test_a_single_try_that_hangs_is_left_and_the_next_ones_are_refused_at_once(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("lrsearch.storage.database.TRY_SECONDS", 0.01)
    database = Database(f"sqlite:///{tmp_path}/some.db")
    go = threading.Event()
    done = []
    with pytest.raises(StorageUnavailable, match="within"):
        database.try_write(lambda tx: go.wait() and done.append(1))
    with pytest.raises(StorageUnavailable, match="a moment ago"):
        database.try_write(lambda tx: done.append(2))
    go.set()
    database._call.result(60)
    assert done == [1]
    database.close()
