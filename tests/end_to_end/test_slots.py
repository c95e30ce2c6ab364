"""Workers and their threads follow from a rule, and a study keeps its threads: real
processes, a cheap stand-in trains.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from launching import attach, run_study
from ledger_tools import add_worker, claim, finish

from lrsearch.launch import worker_count
from lrsearch.machine import host_name
from lrsearch.messages import Note
from lrsearch.setup import devices
from lrsearch.storage import open_ledger
from lrsearch.values import Status, TrialState

SUPPORT = Path(__file__).parents[1] / "support"
# A study whose cores version 0.1.0 measured: one worker per core stayed, and the other
# pool kept its signal handlers.
MEASURED = {"epochs": 200, "epoch_seconds": 0.1, "pace": {"1": 3.0, "2": 5.0}}

DRIVER = """
import json, sys
from lrsearch.errors import LrSearchError
from launching import run_study
from lrsearch.launch import worker_count
from lrsearch.setup import devices

worker_count.inspect_machine = lambda: devices.Machine(gpus=(), cores=2, memory_mib=None)
try:
    run_study("toy.json", listen=lambda event: print(json.dumps(event.to_json(), default=str), flush=True), **json.loads(sys.argv[1]))
except LrSearchError as error:
    sys.exit(error.exit_code)
"""


@pytest.fixture
def options(tmp_path, monkeypatch, fork_server):
    """What a toy study's searches share, in its folder."""
    monkeypatch.setattr("lrsearch.launch.child.subprocess", fork_server.fork_workers())
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/toy.db"
    return {"storage": url, "engine_factory": "worker_toy:loader", "devices": "cpu"}


@pytest.fixture
def search(options, monkeypatch):
    """Searches a toy study on so many cores; returns what was said of the workers."""

    def run(begin=run_study, what="toy.json", *, cores=2, **given):
        machine = devices.Machine(gpus=(), cores=cores, memory_mib=None)
        monkeypatch.setattr(worker_count, "inspect_machine", lambda: machine)
        Path("toy.json").write_text("{}")
        events = []
        if begin is run_study:
            given = {"pruner": "none", "sampler": "random", **given}
        begin(what, listen=events.append, **options, **given)
        with closing(open_ledger(options["storage"])) as ledger:
            study = ledger.study("toy")
            assert [each.state for each in ledger.trials(study.id)] == [
                TrialState.COMPLETE
            ] * study.trials
        return [
            event.message.text for event in events if isinstance(event.message, Note)
        ]

    return run


def put_back(options, *, total):
    """Raise the budget to `total`, and begin and interrupt a trial, as a Ctrl-C does."""
    with closing(open_ledger(options["storage"])) as ledger:
        study = ledger.study("toy")
        ledger.set_budget(study.id, trials=total)
        assert finish(
            ledger,
            claim(ledger, study, add_worker(ledger, study, host=host_name())),
            status=Status.INTERRUPTED,
        )


def test_a_study_with_an_interrupted_trial_goes_on_with_its_threads_unless_told_otherwise(
    search, options
):
    kept = "as many threads as the study began with, which resumes bitwise (--threads changes it)"
    assert search(trials=3, retest=0) == ["2 workers of 1 thread: one per core"]
    put_back(options, total=4)
    assert search(trials=4, retest=0) == [f"1 worker of 1 thread: {kept}"]
    put_back(options, total=6)
    changed = "the study began with 1, so what was interrupted does not resume bitwise"
    assert search(trials=6, retest=0, threads=2) == [
        f"1 worker of 2 threads: --threads 2; {changed}"
    ]
    put_back(options, total=9)
    assert search(attach, "toy") == [f"1 worker of 2 threads: {kept}"]


def test_a_study_with_nothing_in_progress_gets_workers_anew(search):
    assert search(trials=1, retest=0) == ["1 worker of 2 threads: 1 trial to train"]
    assert search(trials=4, retest=0) == ["2 workers of 1 thread: one per core"]


def test_threads_that_nobody_noted_are_said_to_be_unknown(search, options):
    search(trials=3, retest=0)
    put_back(options, total=5)
    with closing(open_ledger(options["storage"])) as ledger:
        ledger.keep_threads(ledger.study("toy").id, None)
    (said,) = search(trials=5, retest=0)
    assert said.startswith(
        "2 workers of 1 thread: one per core; how many threads the study began with is not known"
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_the_first_signal_is_heard_where_cores_used_to_be_measured(
    options, number, code
):
    Path("toy.json").write_text(json.dumps(MEASURED))
    asked = {**options, "trials": 3, "retest": 0}
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(asked)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line)["event"] == "trial.progress":
                    break
            process.send_signal(number)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    with closing(open_ledger(options["storage"])) as ledger:
        assert {each.state for each in ledger.trials(ledger.study("toy").id)} == {
            TrialState.WAITING
        }
