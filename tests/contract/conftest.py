"""Ledgers on each kind of database, with tables that are made once for each server."""

import pytest
from sqlalchemy import create_engine, inspect, literal

from lrsearch.storage import open_ledger


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def kind(request):
    return request.param


@pytest.fixture
def url(kind, new_database):
    """A database without tables."""
    return new_database(kind)


@pytest.fixture(scope="session")
def kept():
    """By kind of server, the URL of a database whose tables are made once, which takes
    most of a second.
    """
    return {}


@pytest.fixture
def tables(kind, kept, new_database):
    """The URL of a database with our tables and Optuna's, all of them empty."""
    if kind == "sqlite":
        return new_database(kind)
    if kind not in kept:
        kept[kind] = new_database(kind)
        open_ledger(kept[kind], create=True).close()
    empty(kept[kind])
    return kept[kind]


def empty(url):
    """Delete every row but the versions'."""
    engine = create_engine(url)
    with engine.begin() as connection:
        names = [
            each
            for each in inspect(connection).get_table_names()
            if "version" not in each
        ]
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"truncate {', '.join(names)} cascade")
        else:
            connection.exec_driver_sql("set foreign_key_checks = 0")
            for name in names:
                connection.exec_driver_sql(f"delete from {name}")
    engine.dispose()


@pytest.fixture
def ledger(tables):
    opened = open_ledger(tables, create=True)
    yield opened
    opened.close()


class Clock:
    """The database's clock, set by hand."""

    def __init__(self, url):
        self.at = 1_000_000.0
        self.ledger = open_ledger(url, create=True, clock=literal(0.0))
        self.set(0)

    def set(self, seconds):
        self.at += seconds
        self.ledger.database.clock = literal(self.at)


@pytest.fixture
def clock(tables):
    made = Clock(tables)
    yield made
    made.ledger.close()
