"""Workers on a real Slurm of two nodes: an array, a signal, a requeue, a node that goes down."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
import toy_command
from slurm import Slurm

from lrsearch.storage import open_ledger
from lrsearch.values import StudyState, TrialState

TRIALS = 5


@pytest.fixture(scope="module")
def slurm():
    why = Slurm.missing()
    if why:
        if os.environ.get("LRSEARCH_TEST_NO_SKIP"):
            pytest.fail(f"{why}, and LRSEARCH_TEST_NO_SKIP is set")
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="lrs-", dir="/tmp"))
    try:
        with Slurm(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Submitter:
    """A login node: a folder, a study in PostgreSQL, and `lrsearch` in the path."""

    def __init__(self, slurm, folder, url, **says):
        self.folder, self.url, self.slurm = folder, url, slurm
        ours = {"LRSEARCH_STORAGE": url, **slurm.environment}
        self._environment = toy_command.install(folder) | ours
        self.gate = folder / "gate"  # trials end when it is there
        says = {"journal": str(folder / "journal"), "gate": str(self.gate), **says}
        (folder / "toy.json").write_text(json.dumps(says))
        rules = ("--sampler", "random", "--pruner", "none")
        create = ("--create-only", "--trials", TRIALS, "--retest", "0", *rules)
        self.run("start-study", "toy.json", *create)

    def run(self, *words):
        done = subprocess.run(
            ["lrsearch", *map(str, words)],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def records(self):
        with closing(open_ledger(self.url)) as ledger:
            study = ledger.study("toy")
            return study.state, list(ledger.trials(study.id))

    def training(self):
        _, trials = self.records()
        return sum(each.state is TrialState.RUNNING for each in trials)

    def logs(self):
        return "\n".join(
            each.read_text() for each in self.folder.glob("lrsearch-toy-*.log")
        )

    def until(self, holds, seconds=120.0):
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, self.logs()
            time.sleep(0.2)


@pytest.fixture
def submitter(slurm, new_database, tmp_path):
    return lambda **says: Submitter(slurm, tmp_path, new_database("postgresql"), **says)


@pytest.mark.slow
def test_the_budget_is_exact_through_a_signal_a_requeue_and_a_node_that_goes_down(
    slurm, submitter
):
    here = submitter(epochs=4, epoch_seconds=0.1)
    said = json.loads(
        here.run("attach", "toy", "--on", "slurm", "--workers", 3, "--json")
    )
    job = said["job"]
    here.until(lambda: here.training() == 3)
    tasks = slurm.tasks(job)
    assert {node for _, node in tasks.values()} == {"n1", "n2"}
    [alone] = [
        number
        for number, (_, node) in tasks.items()
        if [each for _, each in tasks.values()].count(node) == 1
    ]
    signalled, requeued = sorted(set(tasks) - {alone})

    slurm.run("scancel", "--batch", "--signal=TERM", f"{job}_{signalled}")
    here.until(lambda: signalled not in slurm.tasks(job))
    slurm.run("scontrol", "requeue", f"{job}_{requeued}")
    node = tasks[alone][1]
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=a test")
    here.until(
        lambda: all(state == "PENDING" for state, _ in slurm.tasks(job).values())
    )
    assert set(slurm.tasks(job)) == {alone, requeued}, "Slurm queues them again"
    state, trials = here.records()
    assert state is StudyState.OPEN
    assert sum(each.state is TrialState.COMPLETE for each in trials) < TRIALS
    slurm.run("scontrol", "update", f"nodename={node}", "state=resume")
    for number in (alone, requeued):  # Slurm would let them wait for a minute
        slurm.run("scontrol", "update", f"jobid={job}_{number}", "starttime=now")
    here.gate.touch()

    here.until(lambda: here.records()[0] is StudyState.FINISHED, 120)
    here.until(lambda: not slurm.tasks(job))
    _, trials = here.records()
    assert [each.state for each in trials] == [TrialState.COMPLETE] * TRIALS
    trained = [
        json.loads(line) for line in (here.folder / "journal").read_text().splitlines()
    ]
    ended = [each["trial"] for each in trained if each["epoch"] == 4]
    assert sorted(ended) == sorted(each.id for each in trials), (
        "each is trained to its end once"
    )


@pytest.mark.slow
def test_a_job_whose_time_is_too_short_begins_nothing_and_says_so(slurm, submitter):
    here = submitter()
    words = (
        "attach",
        "toy",
        "--on",
        "slurm",
        "--workers",
        1,
        "--json",
        "--",
        "--time=1",
    )
    job = json.loads(here.run(*words))["job"]
    # a task leaves the queue before its last words are in its log
    here.until(lambda: "--leave-by, or the time of the batch job" in here.logs())
    here.until(lambda: not slurm.tasks(job))
    assert not any(each.attempt for each in here.records()[1])
