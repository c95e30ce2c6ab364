"""Names for a shell's completion: read at once, from any database, and silent in trouble."""

import json
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest
from ledger_tools import add_worker, plan, train

from lrsearch.storage import Retest, open_ledger
from lrsearch.storage.names import study_names, trial_names


@pytest.fixture
def made(new_database):
    """A database with two studies: `my own study`, and `toy` with three trials and a retest."""

    def make(kind):
        url = new_database(kind)
        ledger = open_ledger(url, create=True)
        ledger.create_study(plan(name="my own study"))
        study = ledger.create_study(plan(trials=3))
        worker = add_worker(ledger, study)
        train(ledger, study, worker)
        ledger.plan_retests(study.id, [Retest(parent=1, repeat=1, seed=5)])
        ledger.close()
        return url

    return make


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_studies_and_trials_are_named_as_commands_take_them(made, kind):
    environ = {"LRSEARCH_STORAGE": made(kind)}
    assert sorted(study_names(None, environ)) == ["my own study", "toy"]
    assert trial_names(None, "toy", environ) == ["0", "1", "2", "1/2"]
    assert trial_names(None, "o'nobody", environ) == []


def test_a_database_that_is_not_there_is_silent_and_stays_away(tmp_path):
    assert study_names(f"sqlite:///{tmp_path}/none.db", {}) == []
    assert not (tmp_path / "none.db").exists()
    for url in ("nonsense", "file:/nowhere", "postgresql://nobody@127.0.0.1:1/none"):
        assert study_names(url, {}) == []


def test_a_server_that_never_answers_is_not_waited_for():
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        began = time.monotonic()
        assert (
            study_names(
                f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none", {}
            )
            == []
        )
        assert time.monotonic() - began < 5


def test_nothing_heavy_is_loaded_for_a_file(made):
    code = (
        "import json, sys; from lrsearch.cli.main import cli; from lrsearch.storage.names import study_names;"
        "print(json.dumps([study_names(sys.argv[1], {}), sorted({'sqlalchemy', 'optuna', 'numpy', 'keras'} & set(sys.modules))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, made("sqlite")],
        capture_output=True,
        text=True,
        check=True,
    )
    names, loaded = json.loads(done.stdout)
    assert sorted(names) == ["my own study", "toy"]
    assert loaded == []
