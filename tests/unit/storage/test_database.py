"""The one way into a transaction: what is tried again, for how long, and where a drill may kill."""

import time
from contextlib import contextmanager

import pytest
from sqlalchemy import exc, text

from lrsearch.errors import StorageGone, StorageProblem, StorageUnavailable
from lrsearch.storage.database import Database

MAKE = text("create table if not exists one (x integer unique)")
ADD = text("insert into one values (1)")


@pytest.fixture
def marks():
    return []


@pytest.fixture
def database(tmp_path, marks):
    made = Database(
        f"sqlite:///{tmp_path}/some.db", patience_seconds=0.4, failpoint=marks.append
    )
    made.transact(lambda tx: tx.execute(MAKE))
    yield made
    made.close()


def outage():
    return exc.OperationalError(
        "x", {}, Exception("no answer"), connection_invalidated=True
    )


def test_an_outage_is_waited_for_until_the_next_pause_would_outlast_the_patience(
    database,
):
    tries, began = [], time.monotonic()

    def work(_tx):
        tries.append(time.monotonic() - began)
        raise outage()

    with pytest.raises(
        StorageUnavailable, match="does not answer: no answer"
    ) as raised:
        database.transact(work)
    assert isinstance(raised.value.__cause__, exc.OperationalError)
    assert 2 <= len(tries) <= 3, "0.1 s, then 0.2 s, then 0.4 s, each at least half"
    assert database.cut_off_within(60.0)


def test_pauses_double_from_a_tenth_of_a_second_to_five_seconds_less_at_most_half(
    database, monkeypatch
):
    pauses = []
    monkeypatch.setattr("lrsearch.storage.database.time.sleep", pauses.append)

    def work(_tx):
        if len(pauses) < 8:
            raise outage()

    database.transact(work, patience_seconds=600.0)
    for pause, longest in zip(
        pauses, (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0), strict=True
    ):
        assert longest / 2 <= pause <= longest


def test_an_error_that_no_retry_cures_is_raised_at_once(database):
    tries = []

    def work(tx):
        tries.append(1)
        tx.execute(text("select * from nowhere"))

    with pytest.raises(StorageProblem, match="no such table") as raised:
        database.transact(work)
    assert not isinstance(raised.value, StorageUnavailable)
    assert len(tries) == 1
    assert not database.cut_off_within(60.0)


def test_a_fault_of_ours_stays_what_it_is(database):
    database.transact(lambda tx: tx.execute(ADD))
    with pytest.raises(exc.IntegrityError):
        database.transact(lambda tx: tx.execute(ADD))


def test_a_signals_exception_ends_the_tries_and_takes_back_what_was_written(database):
    class Leave(BaseException):
        pass

    def work(tx):
        tx.execute(ADD)
        raise Leave

    with pytest.raises(Leave):
        database.transact(work)
    assert database.rows(text("select * from one")) == []


def test_a_failpoint_is_passed_before_the_commit_and_after_it(
    database, marks, monkeypatch
):
    begin = type(database.engine).begin

    @contextmanager
    def noting(self):
        with begin(self) as connection:
            yield connection
        marks.append("the commit")

    monkeypatch.setattr(type(database.engine), "begin", noting)
    database.transact(lambda tx: tx.execute(ADD) and None, failpoint="add")
    assert marks == ["add.written", "the commit", "add.committed"]


def test_a_file_that_was_replaced_is_refused_with_no_patience(database, tmp_path):
    (tmp_path / "some.db").rename(tmp_path / "other.db")
    with pytest.raises(StorageGone):
        database.transact(lambda tx: tx.execute(ADD))
