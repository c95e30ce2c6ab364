"""The commands that people are told to run: they work as printed, whatever the study or
the file is called.
"""

import shlex

import pytest
from click.testing import CliRunner
from ledger_tools import add_worker, claim, finish, plan, train

from lrsearch.cli.main import cli
from lrsearch.errors import Refused
from lrsearch.storage import open_ledger
from lrsearch.values import Status

NAME = "my toy's {0} $x `id` %s"


@pytest.fixture
def run(tmp_path):
    """Runs a command on a database with the study NAME, three of whose four trials have
    ended, one failed; returns what it printed.
    """
    url = f"sqlite:///{tmp_path}/h.db"
    ledger = open_ledger(url, create=True)
    study = ledger.create_study(plan(name=NAME, trials=3, retest_seeds=0))
    worker = add_worker(ledger, study)
    finish(ledger, claim(ledger, study, worker), status=Status.FAILED, value=None)
    train(ledger, study, worker)
    ledger.extend(study.id, trials=1)
    ledger.worker_seen(worker, "gone")
    ledger.close()

    def invoke(*words):
        done = CliRunner().invoke(
            cli, [*words, "--storage", url], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.output

    return invoke


def hinted(text, command):
    """The words that a shell would make of the command in `text`, up to what ends a
    sentence or a table's cell.
    """
    rest = text.partition(f"lrsearch {command} ")[2].splitlines()[0]
    return shlex.split(rest.split("; ")[0])


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["stop", NAME], "resume"),
        (["resume", NAME], "attach"),
        (["extend", NAME, "--trials", "1"], "attach"),
        (["retry", NAME, "--failed"], "attach"),
        (["best", NAME], "retest"),
    ],
)
def test_a_printed_command_names_the_study_as_a_shell_reads_it(run, words, command):
    assert hinted(run(*words), command)[0] == NAME


def test_status_names_it_where_no_worker_is_left(run):
    assert hinted(run("status", NAME), "attach") == [NAME]


def test_counts_of_one_are_said_in_the_singular(run):
    assert "has a budget of 5 trials now" in run("extend", NAME, "--trials", "1")
    assert "0 running trials end" in run("stop", NAME)


def test_a_refused_deletion_names_the_command_that_helps(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/h.db", create=True)
    study = ledger.create_study(plan(name=NAME))
    claim(ledger, study, add_worker(ledger, study))
    with pytest.raises(Refused) as told:
        ledger.delete_study(study.id)
    assert hinted(str(told.value), "stop") == ["--now", NAME]
    ledger.close()


def test_a_new_study_file_is_named_as_a_shell_reads_it(tmp_path):
    file = tmp_path / "my studies" / "the toy.py"
    file.parent.mkdir()
    done = CliRunner().invoke(cli, ["new-study", str(file)])
    assert hinted(done.output, "start-study") == [str(file)]
