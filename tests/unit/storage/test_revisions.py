import subprocess
import sys
from contextlib import closing

import pytest
from alembic.script import ScriptDirectory

from lrsearch.storage import open_ledger
from lrsearch.storage._optuna import MIGRATIONS as OPTUNAS
from lrsearch.storage.revisions import read_revisions
from lrsearch.storage.schema import MIGRATIONS as OURS

OPENING = """
import sys
from lrsearch.storage import check_storage, open_ledger
assert check_storage(sys.argv[1])
open_ledger(sys.argv[1]).close()
print("alembic" in sys.modules)
"""


@pytest.mark.parametrize("folder", [OURS, OPTUNAS], ids=["ours", "Optuna's"])
def test_versions_are_those_that_alembic_reads(folder):
    scripts = ScriptDirectory(str(folder))
    found = read_revisions(folder)
    assert found.newest == scripts.get_current_head()
    assert found.known == {each.revision for each in scripts.walk_revisions()}


def test_tables_that_are_there_are_opened_without_alembic(tmp_path):
    url = f"sqlite:///{tmp_path}/ours.db"
    with closing(open_ledger(url, create=True)) as ledger:
        ledger.optuna_storage()  # makes Optuna's tables
    done = subprocess.run(
        [sys.executable, "-c", OPENING, url], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
