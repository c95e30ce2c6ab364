"""A Kubernetes Job's very command and variables, as processes: what its pods do, and how they end."""

import json
import os
import signal
import subprocess
import time
from contextlib import closing

import pytest
import toy_command
import yaml

from lrsearch.storage import open_ledger
from lrsearch.values import StudyState, TrialState

TRIALS = 4


@pytest.fixture
def pods(new_database, tmp_path):
    """A study, and a maker of its Job's pods, which end with the test."""
    environment = toy_command.install(tmp_path)
    secret = {"LRSEARCH_STORAGE": new_database("postgresql")}  # envFrom
    says = {"journal": str(tmp_path / "journal"), "epochs": 3, "epoch_seconds": 0.1}
    says |= {"gate": str(tmp_path / "gate")}  # no trial ends before the pod was evicted
    (tmp_path / "toy.json").write_text(json.dumps(says))
    started = []

    def run(*words):
        command, environ = ["lrsearch", *map(str, words)], environment | secret
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, check=True
        )
        return done.stdout.decode()

    run("start-study", "toy.json", "--create-only", "--trials", TRIALS, "--retest", 0)
    words = ("--image", "any:1", "--checkpoints", tmp_path / "shared", "--dry-run")
    job = yaml.safe_load(run("attach", "toy", "--on", "k8s", "--workers", 2, *words))[
        "spec"
    ]
    pod = job["template"]["spec"]
    grace = pod["terminationGracePeriodSeconds"]
    [container] = pod["containers"]

    def start():
        started.append(
            subprocess.Popen(
                container["command"],
                cwd=tmp_path,
                env=environment | secret,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    start.url = secret["LRSEARCH_STORAGE"]
    start.grace = grace
    start.fatal = job["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"]
    yield start
    for each in started:
        if each.poll() is None:
            os.killpg(each.pid, signal.SIGKILL)
        each.communicate()


def look(url):
    with closing(open_ledger(url)) as ledger:
        study = ledger.study("toy")
        return study.state, list(ledger.trials(study.id))


@pytest.mark.slow
def test_a_pod_that_is_evicted_puts_its_trial_back_and_the_others_meet_the_budget(
    pods, tmp_path
):
    evicted, other = pods(), pods()
    until = time.monotonic() + 120
    while sum(each.state is TrialState.RUNNING for each in look(pods.url)[1]) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    evicted.terminate()
    assert evicted.wait(pods.grace) == 143, "no code that ends the Job"
    assert 143 not in pods.fatal
    (tmp_path / "gate").touch()
    assert pods().wait(60) == other.wait(60) == 0, "the work queue is done"
    state, trials = look(pods.url)
    assert state is StudyState.FINISHED
    assert [(each.state, each.lost) for each in trials] == [
        (TrialState.COMPLETE, 0)
    ] * TRIALS
    assert sorted(each.attempt for each in trials) == [1, 1, 1, 2]
