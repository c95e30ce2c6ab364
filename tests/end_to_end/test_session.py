"""A worker's session on a study: as deep as it may be, and the same in a process and a notebook."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from driven import ledger_of, study  # noqa: F401 - a fixture
from launching import run_study
from ledger_tools import facts, plan
from worker_toy import ToyLoader

from lrsearch.launch.inline import run_inline
from lrsearch.messages import Quit, TrialProgress, Work, WorkerMessage
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.storage import open_ledger
from lrsearch.worker.config import WorkerConfig

SUPPORT = Path(__file__).parents[1] / "support"
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
MOST_FRAMES = 14

KERAS_STUDY = """
import keras, numpy as np
from lrsearch import SearchSpace, StudyDefinition
def load_data():
    x = np.zeros((8, 3), "float32")
    return (x, x[:, :1]), (x, x[:, :1])
def build_model():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model
space = SearchSpace(optimizers=["sgd"], schedules=["constant"])
definition = StudyDefinition(objective="val_loss", epochs=3, batch_size=4, space=space)
"""


@pytest.mark.tensorflow
def test_few_frames_lie_between_a_workers_main_and_the_sql_of_a_claim(tmp_path):
    """With `auto`, a time-out and a limit of trainings: of all claims this one is the deepest."""
    url = f"sqlite:///{tmp_path}/toy.db"
    (tmp_path / "study.py").write_text(KERAS_STUDY)
    with_figures = {
        "engine": "vectorized",
        "width": 4,
        "reason": "as the test wants it",
    }
    ledger = open_ledger(url, create=True)
    known = facts(objective="val_loss")
    made = ledger.create_study(
        plan(first=(), timeout_seconds=3600.0, trainings=20, facts=known)
    )
    ledger.note_calibration(made.id, "here/cpu/all", with_figures)
    ledger.close()
    config = WorkerConfig(
        storage=url,
        study_file=str(tmp_path / "study.py"),
        checkpoints=str(tmp_path / "checkpoints"),
        host="here",
        engine_factory="frames_loader:loader",
    )
    path = os.pathsep.join([str(SUPPORT), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-m", "lrsearch.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"},
        text=True,
    ) as worker:
        for each in (config, Work(study=made.name), Quit()):
            worker.stdin.write(json.dumps(each.to_json()) + "\n")
        # and not closed: its end would mean that the parent is dead
        worker.stdin.flush()
        told = worker.stdout.read()
    assert (tmp_path / "frames.json").exists(), told
    frames = json.loads((tmp_path / "frames.json").read_text())
    listed = "\n".join(f"{place}: {name}" for place, name in frames)
    assert frames[0][1] == "main", listed
    assert ["engine/vectorized.py", "train"] in frames, listed
    assert len(frames) <= MOST_FRAMES, listed
    rows = r"^\| \d+ \| `(\S+)` \| `(\w+)` \|"
    told = re.findall(rows, ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [tuple(each) for each in frames], (
        f"docs/architecture.md should say\n{listed}"
    )


def test_a_worker_process_and_a_notebook_train_alike(study, tmp_path):  # noqa: F811
    """They say the same in the same order, and leave the same trials and curves."""
    told, left = [], []
    for inline in (False, True):
        arguments = study(workers=1, trials=3)
        arguments["storage"] = f"sqlite:///{tmp_path}/{inline}.db"
        said = []
        if inline:
            search = SearchOptions(name="toy", trials=3, retest=0, sampler="random")
            machine = MachineOptions(storage=arguments["storage"])
            toy = ToyLoader(tmp_path / "toy.json")
            run_inline(toy, search, machine, listen=said.append)
        else:
            run_study(**arguments, listen=said.append)
        told.append(
            [_words(each.message) for each in said if _of_session(each.message)]
        )
        with ledger_of(arguments) as ledger:
            records = ledger.trials(ledger.study("toy").id)
            left.append(
                [(each.number, each.setting, each.seed, each.value) for each in records]
            )
    assert told[0] == told[1]
    assert told[0][0] == ("engine.ready", None)
    assert told[0][-1] == ("done", None)
    assert left[0] == left[1]
    assert len(left[0]) == 3


def _of_session(message):
    own = isinstance(message, WorkerMessage) and not isinstance(message, TrialProgress)
    return own and message.event not in {"ready", "facts", "note"}


def _words(message):
    return message.event, getattr(message, "label", None)
