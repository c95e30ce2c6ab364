"""The number of threads of a study that version 0.1.0 began is taken over where its
measurements tell it.
"""

import shutil
from contextlib import closing
from pathlib import Path

from sqlalchemy import create_engine, text

from lrsearch.storage import migrate_database, open_ledger

FIXTURE = Path(__file__).parents[2] / "fixtures" / "v0_1_0" / "studies.db"


def test_threads_are_taken_over_where_one_number_was_measured_and_nowhere_else(
    tmp_path,
):
    shutil.copy(FIXTURE, tmp_path / "studies.db")
    url = f"sqlite:///{tmp_path}/studies.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        note = "insert into lrsearch_calibrations values ((select id from lrsearch_studies where name = 'begun'), :machine, '{}')"
        for machine in ("one/cpu/1", "two/cpu/2", "one/cpu/workers", "three/gpu/8"):
            connection.execute(text(note), {"machine": machine})
    engine.dispose()
    migrate_database(url)
    with closing(open_ledger(url)) as ledger:
        assert ledger.study("ended").threads == 1
        assert ledger.study("begun").threads is None, (
            "by one number or the other, nobody knows"
        )
