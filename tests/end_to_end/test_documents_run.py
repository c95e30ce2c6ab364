"""The commands of the documents do what they say: each runs on a small study of its own."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import listings, written

pytestmark = [pytest.mark.long, pytest.mark.tensorflow]

STUDY = """
import keras, numpy as np
from lrsearch import SearchSpace, StudyDefinition

def load_data():
    x = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int32")
    return (x[:150], y[:150]), (x[150:], y[150:])

def build_model():
    model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model

definition = StudyDefinition(objective="val_accuracy", epochs=3, batch_size=32)
"""
# Commands that other tests run, and which.
ELSEWHERE = {
    r"attach .*--on (slurm|k8s|ray)": "needs a cluster: test_slurm, test_kubernetes, test_ray",
    r"flowers": "needs a cluster's database: test_database_server, test_slurm",
    r"attach [a-z_]+( --until idle)?$": "waits for work: test_workers",
    r"attach --leave-by|attach flowers --leave-by": "test_leaving",
    r"dashboard": "a server that stays: test_browser",
    r"--log-to wandb": "wants an account: test_log_to",
    r"--background": "test_background",
    r"verify .*": "test_strangers",
    r"compare first second third": "test_comparing",
    r"studies/": "its whole search: docs/make_gallery.py, and .ci/run",
}
# How little is enough to see a command run.
SMALLER = {
    r"(start-study|plan)(.*) --trials \d+": r"\1\2 --trials 5 --retest 1",
    r"extend (.*)--(trials|trainings) \d+": r"extend \1--\2 1",
    r"--timeout \w+": "--timeout 20s",
    r"--(seeds|top-up|total|top|epochs) (\d+|N)": r"--\1 2",
    r"--trial \d+": "--trial 1",
    r"show (\w+) \d+": "show my_study 1",
    r"--wait \d+": "--wait 1",
    r"STUDY": "my_study",
}
# Exit codes that are an answer here, where the study has ended.
ANSWERS = {"resume": {4}, "start-study": {0, 1}}
PAGES = ("README.md", "docs/guide.md", "docs/questions.md", "lrsearch/cli/skill.md")
COMMANDS = sorted(
    {each.partition("#")[0].strip() for page in PAGES for each in written(page)}
)
RUN = [
    each
    for each in COMMANDS
    if len(each.split()) > 1
    and not any(re.search(pattern, each) for pattern in ELSEWHERE)
]
PEERS = {
    "from_optuna": "optuna",
    "from_keras_tuner": "keras_tuner",
    "from_ray_tune": "ray.tune",
}


def environment():
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("LRSEARCH", "PYTEST"))
    }
    return kept | {"CUDA_VISIBLE_DEVICES": "-1", "WANDB_MODE": "offline"}


def run(folder, *words, codes=(0,), seconds=300):
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment(), input="y\n", capture_output=True,
        text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A folder with a study that has ended, and its setting as JSON."""
    folder = tmp_path_factory.mktemp("ended")
    (folder / "my_study.py").write_text(STUDY)
    asked = ["--trials", "4", "--retest", "1", "--workers", "1", "-q"]
    run(folder, "-m", "lrsearch", "start-study", "my_study.py", *asked)
    (folder / "best.json").write_text(
        run(
            folder,
            "-m",
            "lrsearch",
            "export",
            "my_study",
            "--format",
            "json",
            "--trial",
            "1",
        )
    )
    return folder


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_documents_runs(ended, tmp_path, command):
    folder = tmp_path / "here"
    shutil.copytree(ended, folder)
    if command.startswith("new-study"):
        (folder / "my_study.py").unlink()
    for pattern, smaller in SMALLER.items():
        command = re.sub(pattern, smaller, command)
    words = shlex.split(command)
    if words[0] == "start-study" and not {"--trials", "--timeout"} & {*words}:
        words += ["--trials", "5"]
    run(folder, "-m", "lrsearch", *words, codes=ANSWERS.get(words[0], {0}))


def test_every_command_runs_here_or_is_named_with_its_test():
    assert len(RUN) > 40
    for pattern, where in ELSEWHERE.items():
        assert any(
            re.search(pattern, each) for each in COMMANDS + written("docs/clusters.md")
        ), pattern
        for name in re.findall(r"test_\w+", where):
            assert (Path(__file__).parent / f"{name}.py").exists(), name


@pytest.mark.parametrize("page", PEERS)
def test_a_page_that_leads_from_another_tool_runs(tmp_path, page):
    """Ours, and theirs where it is installed: pip install keras-tuner 'ray[tune]'."""
    for name, text in listings(f"docs/{page}.md").items():
        (tmp_path / name).write_text(
            re.sub(r"(max_trials|n_trials|num_samples)=40", r"\1=2", text)
        )
    try:
        installed = importlib.util.find_spec(PEERS[page]) is not None
    except ModuleNotFoundError:
        installed = False
    if installed:
        run(tmp_path, "theirs.py", seconds=900)
    told = written(f"docs/{page}.md")
    asked = "start-study my_digits.py --trials 40"
    story = told[told.index(asked) : told.index("train my_digits -o best.keras") + 1]
    for each in story:
        small = each.replace("--trials 40", "--trials 3 --retest 0 --workers 1")
        run(tmp_path, "-m", "lrsearch", *shlex.split(small))
    if "analysis.py" in listings(f"docs/{page}.md"):
        assert "my_digits" in run(tmp_path, "analysis.py")
