"""The rates that a training's updates were made with are kept; trainings of old have none."""

import shutil
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from ledger_tools import add_worker, claim, outcome, plan

from lrsearch.report.trials import trial_row
from lrsearch.storage import migrate_database, open_ledger
from lrsearch.values import AppliedRates

FIXTURE = Path(__file__).parents[2] / "fixtures" / "v0_1_0" / "studies.db"
RATES = AppliedRates(first=1e-5, peak=0.1, last=1 / 3)


def test_what_an_outcome_says_is_read_back_to_the_last_digit(tmp_path):
    with closing(open_ledger(f"sqlite:///{tmp_path}/a.db", create=True)) as ledger:
        study = ledger.create_study(plan())
        worker = add_worker(ledger, study)
        for rates in (RATES, replace(RATES, first=None), None):
            claimed = claim(ledger, study, worker)
            ledger.finish(replace(outcome(claimed), rates=rates), ())
        found = ledger.trials(study.id)[:3]
    assert [each.rates for each in found] == [RATES, replace(RATES, first=None), None]
    assert trial_row(found[0])["rates"] == {"first": 1e-5, "peak": 0.1, "last": 1 / 3}
    assert trial_row(found[2])["rates"] is None


def test_a_study_of_old_has_none_and_its_migration_can_be_run_again(tmp_path):
    shutil.copy(FIXTURE, tmp_path / "studies.db")
    url = f"sqlite:///{tmp_path}/studies.db"
    migrate_database(url)
    migration = import_module("lrsearch.storage.migrations.versions.0009_applied_rates")
    with closing(open_ledger(url)) as ledger:
        with (
            ledger.database.engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            migration.upgrade()
        found = [each for study in ledger.studies() for each in ledger.trials(study.id)]
    assert found
    assert all(each.rates is None for each in found)
