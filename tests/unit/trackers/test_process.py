"""The sender's process: what it loads, when it leaves, and what it says."""

import os
import subprocess
import sys

MODULE = "lrsearch.trackers.process"
URL = "sqlite:////no/such/folder/of/a.db"


def run(*words, study="", code=None):
    """Run the process, which reads `study`, in a folder of its own; returns how it ended."""
    program = ["-c", code] if code else ["-m", MODULE]
    return subprocess.run(
        [sys.executable, "-P", *program, *words],
        env=os.environ | {"LRSEARCH_STORAGE": URL},
        input=study,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_loads_its_libraries_and_writes_nothing_before_there_is_a_study(tmp_path):
    code = (
        f"import sys; from {MODULE} import main; main(); print('mlflow' in sys.modules)"
    )
    done = run(f"mlflow=sqlite:///{tmp_path}/mlflow.db", code=code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert not list(tmp_path.iterdir()), "the study may be refused"


def test_what_keeps_it_from_the_study_is_a_line_and_no_traceback(tmp_path):
    done = run(f"tensorboard={tmp_path}/runs", study="flowers\n")
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert line.startswith("lrsearch: ")
    assert "no/such/folder" in line
