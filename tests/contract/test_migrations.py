"""Migrations make the tables that the code reads, on every kind of database."""

from contextlib import closing
from importlib import import_module

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from ledger_tools import facts, plan

from lrsearch.storage import open_ledger
from lrsearch.storage.tables import metadata

pytestmark = pytest.mark.slow


def test_migrated_tables_are_those_of_the_code(url):
    def ours(_object, name, kind, _reflected, _compared):
        return kind != "table" or name.startswith("lrsearch_")

    with (
        closing(open_ledger(url, create=True)) as ledger,
        ledger.database.engine.connect() as connection,
    ):
        options = {
            "version_table": "lrsearch_alembic_version",
            "include_object": ours,
            "compare_type": False,
        }
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts=options), metadata
            )
            == []
        )


def test_a_migration_that_was_cut_short_can_be_run_again(url):
    """MariaDB commits each statement by itself."""
    migration = import_module("lrsearch.storage.migrations.versions.0003_requests")
    with closing(open_ledger(url, create=True)) as ledger:
        with (
            ledger.database.engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            migration.upgrade()
        with ledger.database.engine.begin() as connection:
            connection.exec_driver_sql("drop table lrsearch_requests")
        with (
            ledger.database.engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            migration.upgrade()
        assert ledger.studies() == []


def test_the_rates_that_a_study_was_asked_for_are_taken_out_of_its_fingerprint(url):
    migration = import_module("lrsearch.storage.migrations.versions.0007_asked_rates")
    asked = {"none": None, "all": [1e-4, 1e-1], "some": {"adam": [1e-4, 1e-2]}}
    with closing(open_ledger(url, create=True)) as ledger:
        for name, rates in asked.items():
            found = {"space.learning_rate": rates, "space.optimizers": ["adam", "sgd"]}
            ledger.create_study(plan(name=name, facts=facts(fingerprint=found)))
        for _ in range(2):  # cut short, it is run again
            with (
                ledger.database.engine.begin() as connection,
                Operations.context(MigrationContext.configure(connection)),
            ):
                migration.upgrade()
        assert {name: ledger.study(name).facts.asked_rates for name in asked} == {
            "none": {},
            "all": {"adam": (1e-4, 1e-1), "sgd": (1e-4, 1e-1)},
            "some": {"adam": (1e-4, 1e-2)},
        }
