"""The rates that a study of version 0.1.0 was asked for are taken over from its fingerprint."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from lrsearch.storage import migrate_database, open_ledger

FIXTURE = Path(__file__).parents[2] / "fixtures" / "v0_1_0" / "studies.db"


def test_rates_are_taken_over_where_some_were_asked_for(tmp_path):
    shutil.copy(FIXTURE, tmp_path / "studies.db")
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection, connection:
        [text] = connection.execute(
            "select plan from lrsearch_studies where name = 'begun'"
        ).fetchone()
        plan = json.loads(text)
        plan["facts"]["fingerprint"]["space.learning_rate"] = [1e-4, 1e-2]
        connection.execute(
            "update lrsearch_studies set plan = ? where name = 'begun'",
            [json.dumps(plan)],
        )
    migrate_database(f"sqlite:///{tmp_path}/studies.db")
    with closing(open_ledger(f"sqlite:///{tmp_path}/studies.db")) as ledger:
        assert ledger.study("begun").facts.asked_rates == {"adam": (1e-4, 1e-2)}
        assert ledger.study("ended").facts.asked_rates == {}
