"""A tracker beside a search: runs arrive while it goes on, and one that is away costs it nothing."""

import json
import subprocess
import sys
import time

import pytest
import toy_command

TRIALS = 3
PYTHON = """
import lrsearch
from lrsearch.options import MachineOptions
MachineOptions.__init__.__kwdefaults__["engine_factory"] = "worker_toy:loader"
if __name__ == "__main__":
    to = {"log_to": "tensorboard=runs", "quiet": True}
    lrsearch.search("toy.json", trials=3, retest=0, workers=1, **to).retest(seeds=1, top=1, **to)
"""


@pytest.fixture
def search(tmp_path):
    """Runs a toy search with a tracker; returns its seconds and its standard error."""
    environment = toy_command.install(tmp_path)
    (tmp_path / "toy.json").write_text(json.dumps({"epochs": 3, "epoch_seconds": 0.1}))

    start = ("start-study", "toy.json", "--trials", str(TRIALS), "--retest", "1")

    def run(*words, command=start):
        began = time.monotonic()
        done = subprocess.run(
            ["lrsearch", *command, "--workers", "1", "--quiet", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return time.monotonic() - began, done.stderr

    return run


@pytest.mark.slow
def test_every_training_of_a_search_is_a_run_and_the_verdict_follows(search, tmp_path):
    search("--log-to", "tensorboard=runs")
    sent = {each.parent.name for each in (tmp_path / "runs" / "toy").glob("*/sent")}
    assert {str(number) for number in range(TRIALS)} <= sent
    assert any("-retest-1" in each for each in sent)
    [first] = (tmp_path / "runs" / "toy" / "answer").glob("events.*")
    search("--log-to", "tensorboard=runs", command=("retest", "toy", "--seeds", "2"))
    again = {each.parent.name for each in (tmp_path / "runs" / "toy").glob("*/sent")}
    assert {
        each.replace("-1", "-2") for each in sent if "-retest-1" in each
    } == again - sent
    [last] = (tmp_path / "runs" / "toy" / "answer").glob("events.*")
    assert last.name != first.name, "the verdict is written anew"


@pytest.mark.slow
def test_a_search_in_python_sends_its_trainings_as_the_command_does(tmp_path):
    environment = toy_command.install(tmp_path)
    (tmp_path / "toy.json").write_text(json.dumps({"epochs": 1}))
    (tmp_path / "search.py").write_text(PYTHON)
    done = subprocess.run(
        [sys.executable, "search.py"], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sent = {each.parent.name for each in (tmp_path / "runs" / "toy").glob("*/sent")}
    searched = {"0", "1", "2"}
    assert searched < sent
    assert all(each.endswith("-retest-1") for each in sent - searched)
    assert list((tmp_path / "runs" / "toy" / "answer").glob("events.*")), "the verdict"


@pytest.mark.slow
def test_a_tracker_that_is_away_is_said_once_and_no_trial_fails(search):
    seconds, said = search("--log-to", "mlflow=http://127.0.0.1:9")
    assert said.count("does not take runs") <= 2, "once under way, and once at the end"
    assert "lrsearch log toy --to" in said
    assert seconds < 90


def test_a_tracker_that_is_none_is_refused_before_anything_begins(search, tmp_path):
    with pytest.raises(AssertionError, match="one of tensorboard=a folder"):
        search("--log-to", "neptune=x")
    assert not (tmp_path / "lrsearch.db").exists()
