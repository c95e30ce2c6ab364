"""Workers as Ray actors, on a local cluster of two nodes: one is removed, and its actor goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import toy_command

from lrsearch.storage import open_ledger
from lrsearch.values import StudyState, TrialState

TRIALS = 4
# Ray's own warnings are no concern of pytest's: the cluster lives in a process of its
# own, which removes a node at the first line of its input and ends at the end of it.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=small)
second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
if sys.stdin.readline():
    cluster.remove_node(second, allow_graceful=False)
    print("removed", flush=True)
    sys.stdin.readline()
cluster.shutdown()
"""


@pytest.fixture
def here(new_database, tmp_path):
    """The variables of a study, and a cluster whose nodes have them."""
    if os.environ.get("LRSEARCH_TEST_NO_SKIP") is None:
        pytest.importorskip("ray")
    quiet = {
        "RAY_DEDUP_LOGS": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONWARNINGS": "ignore",
    }
    storage = {"LRSEARCH_STORAGE": new_database("postgresql")}
    return toy_command.install(tmp_path) | quiet | storage


@pytest.fixture
def cluster(here, tmp_path):
    with (tmp_path / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", CLUSTER],
            env={
                name: each for name, each in here.items() if name != "LRSEARCH_STORAGE"
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd="/tmp",
        )
    yield process
    process.communicate(timeout=60)


def look(here):
    with closing(open_ledger(here["LRSEARCH_STORAGE"])) as ledger:
        study = ledger.study("toy")
        return study.state, list(ledger.trials(study.id)), ledger.workers(study.id)


def until(holds, seconds=90.0):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_an_actor_whose_node_is_removed_goes_on_elsewhere_and_its_worker_dies_with_it(
    here, cluster, tmp_path
):
    gate = tmp_path / "gate"  # trials end when the lost actor's successor is there
    says = {"journal": str(tmp_path / "journal"), "epochs": 3, "epoch_seconds": 0.05}
    says |= {"gate": str(gate)}
    (tmp_path / "toy.json").write_text(json.dumps(says))
    rules = ("--sampler", "random", "--pruner", "none")
    create = ("--create-only", "--trials", str(TRIALS), "--retest", "0", *rules)
    subprocess.run(
        ["lrsearch", "start-study", "toy.json", *create],
        env=here,
        cwd=tmp_path,
        check=True,
    )
    address = cluster.stdout.readline().strip()
    flags = ("--address", address, "--num-cpus", "0.3")
    words = (
        "attach",
        "toy",
        "--on",
        "ray",
        "--workers",
        "3",
        "--until",
        "done",
        "--",
        *flags,
    )
    with (tmp_path / "driver.log").open("w") as log:
        driver = subprocess.Popen(
            ["lrsearch", *words], env=here, cwd=tmp_path, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        until(
            lambda: sum(each.state is TrialState.RUNNING for each in look(here)[1]) == 3
        )
        before = {each.pid for each in look(here)[2]}
        cluster.stdin.write("remove a node\n")
        cluster.stdin.flush()
        assert cluster.stdout.readline() == "removed\n"
        until(lambda: any(not Path(f"/proc/{pid}").exists() for pid in before), 15)
        # it is started again
        until(lambda: {each.pid for each in look(here)[2]} - before)
        gate.touch()
        assert driver.wait(150) == 0, (tmp_path / "driver.log").read_text()
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
    state, trials, _ = look(here)
    assert state is StudyState.FINISHED
    assert [each.state for each in trials] == [TrialState.COMPLETE] * TRIALS
    trained = [
        json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()
    ]
    ended = [each["trial"] for each in trained if each["epoch"] == 3]
    assert sorted(ended) == sorted(each.id for each in trials), (
        "each is trained to its end once"
    )
    assert "all 3 workers have left" in (tmp_path / "driver.log").read_text()
