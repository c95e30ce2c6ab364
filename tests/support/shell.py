"""Commands run in a folder of their own, and the ledger that they find there."""

import json

import pytest
from click.testing import CliRunner

from lrsearch.cli.main import cli
from lrsearch.errors import LrSearchError
from lrsearch.storage import open_ledger


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command; returns its output, parsed where it is JSON, or the error's line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRSEARCH_STORAGE", raising=False)

    def run(*arguments, code=0, answer=None):
        done = CliRunner().invoke(cli, list(map(str, arguments)), input=answer)
        if isinstance(done.exception, LrSearchError):
            assert done.exception.exit_code == code, str(done.exception)
            return str(done.exception)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if "--json" in arguments else done.output

    return run


@pytest.fixture
def ledger(run, tmp_path):
    opened = open_ledger(f"sqlite:///{tmp_path}/lrsearch.db", create=True)
    yield opened
    opened.close()
