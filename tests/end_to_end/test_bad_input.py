"""Bad input gets one clear line: what, where, what is allowed, the next move.

Nothing is half-created.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from lrsearch.cli.main import main
from lrsearch.errors import LrSearchError
from lrsearch.storage import schema
from lrsearch.worker.config import WorkerConfig

GOOD = """
import keras, numpy as np
from lrsearch import SearchSpace, StudyDefinition
def load_data():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    return (x, x[:, :1]), (x, x[:, :1])
def build_model():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model
definition = StudyDefinition(objective="val_loss", epochs=1, batch_size=8)
"""


def lrsearch(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LRSEARCH")
    }
    command = [sys.executable, "-m", "lrsearch", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=clean | {"CUDA_VISIBLE_DEVICES": ""} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_one_line(
    done: subprocess.CompletedProcess[str], code: int, *words: str
) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last, done.stderr
    assert "site-packages/lrsearch" not in done.stderr
    assert "/lrsearch/" not in "".join(
        line for line in done.stderr.splitlines() if line.lstrip().startswith("File ")
    )


def nothing_created(folder: Path) -> bool:
    return not list(folder.glob("lrsearch.db*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.py").write_text(GOOD)
    return tmp_path


QUICK = {  # refused before any worker starts
    "missing file": (["start-study", "no.py"], 2, ["no.py", "new-study"]),
    "a folder": (["start-study", "."], 2, ["folder"]),
    "no trials": (["start-study", "good.py", "--trials", "0"], 2, ["trials", "0"]),
    "negative retest": (["start-study", "good.py", "--retest", "-1"], 2, ["retest"]),
    "no duration": (["start-study", "good.py", "--timeout", "soon"], 2, ["soon", "8h"]),
    "bad name": (["start-study", "good.py", "--name", "a\tb"], 2, ["name"]),
    "missing device": (
        ["start-study", "good.py", "--devices", "gpu:7"],
        3,
        ["gpu:7", "cpu"],
    ),
    "odd device": (
        ["start-study", "good.py", "--devices", "tpu"],
        2,
        ["devices", "tpu"],
    ),
    "in-memory": (
        ["start-study", "good.py", "--storage", "sqlite:///"],
        2,
        ["sqlite:///"],
    ),
    "no such folder": (
        ["start-study", "good.py", "--storage", "sqlite:///nowhere/x.db"],
        3,
        ["nowhere"],
    ),
    "unknown dialect": (
        ["start-study", "good.py", "--storage", "oracle://x/y"],
        2,
        ["oracle"],
    ),
    "password on the command line": (
        ["start-study", "good.py", "--storage", "postgresql://u:secret@h/d"],
        2,
        ["LRSEARCH_STORAGE"],
    ),
    "unknown study": (
        ["best", "digits", "--storage", "sqlite:///good.db"],
        3,
        ["good.db"],
    ),
    "existing file": (["new-study", "good.py"], 2, ["good.py", "exist"]),
    "not Python": (["new-study", "good.txt"], 2, [".py"]),
}


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """Runs a command in this process, which is enough for one that starts nothing."""
    for name in [each for each in os.environ if each.startswith("LRSEARCH")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with chdir(folder), pytest.raises(SystemExit) as left:
            main(arguments)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(
            arguments, left.value.code, said.out, said.err
        )

    return run


@pytest.mark.parametrize("name", sorted(QUICK))
def test_bad_input_is_refused_before_anything_starts(folder, refused, name):
    arguments, code, words = QUICK[name]
    assert_one_line(refused(*arguments), code, *words)
    assert nothing_created(folder)


def test_a_password_never_reaches_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv(
        "LRSEARCH_STORAGE", "postgresql+psycopg://u:hush{w@127.0.0.1:1/d"
    )
    # as long as a server that may be starting is waited for
    monkeypatch.setattr(schema, "OPENING_SECONDS", 1.0)
    with pytest.raises(SystemExit) as left:
        main(["studies"])
    said = capsys.readouterr()
    assert left.value.code == 3
    assert "127.0.0.1" in said.err
    assert "hush" not in said.out + said.err


METRICS = ["loss", "mae", "val_loss", "val_mae"]
FILES = {  # the study file itself; a worker has to load it
    "broken": (
        "import keras\nraise RuntimeError('my own mistake')\n",
        ["my own mistake"],
    ),
    "no definition": (GOOD.replace("definition =", "definitions ="), ["definition"]),
    "unknown optimizer": (
        GOOD.replace("epochs=1", "epochs=1, space=SearchSpace(optimizers=['adamm'])"),
        ["adamm", "adam"],
    ),
    "unlogged objective": (
        GOOD.replace('"val_loss"', '"val_accuracy"'),
        ["val_accuracy", "val_mae"],
    ),
    "NaN in the data": (
        GOOD.replace("return (x,", "x[3, 1] = np.nan\n    return (x,", 1),
        ["NaN"],
    ),
    "empty data": (GOOD.replace("size=(40, 3)", "size=(0, 3)"), ["empty"]),
    "mismatched data": (
        GOOD.replace("return (x, x[:, :1])", "return (x, x[:7, :1])", 1),
        ["40", "7"],
    ),
    "impossible range": (
        GOOD.replace(
            "epochs=1", "epochs=1, space=SearchSpace(learning_rate=(1e-2, 1e-4))"
        ),
        ["learning_rate"],
    ),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", sorted(FILES))
def test_a_study_file_that_cannot_be_searched_is_refused_by_what_a_worker_asks_of_it(
    folder, name
):
    from lrsearch.worker.loading import KerasLoader

    source, words = FILES[name]
    (folder / "study.py").write_text(source)
    config = WorkerConfig(
        storage="sqlite:///lrsearch.db",
        study_file=str(folder / "study.py"),
        checkpoints="checkpoints",
    )
    with pytest.raises(LrSearchError) as raised:
        KerasLoader(config).inspect()
    text = str(raised.value)
    assert raised.value.exit_code == 2
    assert "\n" not in text
    assert all(word in text for word in words), text
    assert "/lrsearch/" not in getattr(raised.value, "traceback_text", "")


@pytest.mark.tensorflow
@pytest.mark.slow
# as it loads, and after a step; a worker passes on any error
@pytest.mark.parametrize("name", ["broken", "unlogged objective"])
def test_a_study_file_that_cannot_be_searched_is_refused_in_one_line(folder, name):
    source, words = FILES[name]
    (folder / "study.py").write_text(source)
    done = lrsearch(folder, "start-study", "study.py", "--workers", "1", "--json")
    assert_one_line(done, 2, *words)
    assert nothing_created(folder)
    found = json.loads(done.stdout)
    parts = {
        "broken": ("study file", None, None),
        "unlogged objective": ("metric for objective", "val_accuracy", METRICS),
    }
    assert (found["field"], found["got"], found["allowed"]) == parts[name], (
        "what the worker knew has come to the parent"
    )
    assert (found["exit_code"], "my own mistake" in (found["traceback"] or "")) == (
        2,
        name == "broken",
    )


@pytest.mark.tensorflow
def test_another_keras_backend_is_refused(folder):
    done = lrsearch(
        folder, "start-study", "good.py", "--workers", "1", KERAS_BACKEND="jax"
    )
    assert_one_line(done, 2, "KERAS_BACKEND", "tensorflow")
    assert nothing_created(folder)
