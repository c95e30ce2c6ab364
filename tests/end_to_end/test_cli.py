"""The command line from a study file to its answer, as a user types it: SQLite, Keras,
and real processes but for what only looks.
"""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import chdir, closing
from pathlib import Path

import keras
import pytest
from click.testing import CliRunner

from lrsearch.cli.main import cli
from lrsearch.errors import LrSearchError

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

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

definition = StudyDefinition(
    objective="val_accuracy", epochs=3, batch_size=32, space=SearchSpace(optimizers=["sgd", "adam"], schedules=["linear", "constant"])
)
"""


def environment():
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LRSEARCH", "PYTEST"))
    }
    return kept | {"CUDA_VISIBLE_DEVICES": "-1"}


@pytest.fixture(scope="module", autouse=True)
def _forking(keras_fork_server):
    lrsearch.server = keras_fork_server


def lrsearch(folder, *arguments, code=0):
    """Run the command, forked with its workers; as it is typed, test_stops.py and
    test_bad_input.py run it.
    """
    where = {"cwd": folder, "env": environment(), "timeout": 180}
    done = lrsearch.server.run(*map(str, arguments), **where)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def looked(folder, *arguments, code=0):
    """What a command says that starts nothing, run in this process: its output, or its
    error's line.
    """
    nothing = {name: None for name in os.environ if name.startswith("LRSEARCH")}
    with chdir(folder):
        done = CliRunner(env=nothing).invoke(cli, list(map(str, arguments)))
    if isinstance(done.exception, LrSearchError):
        assert done.exception.exit_code == code, str(done.exception)
        return str(done.exception)
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def told(folder, *arguments):
    return json.loads(looked(folder, *arguments, "--json"))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A study of five trials and two seeds of retests, with the text that it ended with."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "toy.py").write_text(STUDY)
    done = lrsearch(
        folder,
        "start-study",
        "toy.py",
        "--trials",
        5,
        "--retest",
        2,
        "--workers",
        2,
        "--engine",
        "graph",
        "--log-file",
        "log.jsonl",
    )
    return folder, done


def test_it_ends_with_the_answer_and_a_line_for_each_finished_trial(searched):
    folder, done = searched
    assert re.search(r"yours\s+adam\s+1.0e-3\s+constant", done.stdout)
    assert re.search(r"best\s+\w+\s+\d", done.stdout)
    assert "lrsearch export toy" in done.stdout
    lines = done.stderr.splitlines()
    ended = [
        re.match(r"\[(\d)/5\] trial \d +(\d\.\d+|pruned|diverged) ", line)
        for line in lines
    ]
    assert [int(each[1]) for each in ended if each] == [1, 2, 3, 4, 5]
    bills = [
        line
        for line in lines
        if re.search(
            r" trainings?, .*about .* on 2 workers(, \d+ at once)?, done at \d\d:\d\d",
            line,
        )
    ]
    assert len(bills) == 2, (
        "before the first training, and when trainings have shown their pace or the search is over"
    )
    assert bills[1].endswith(" a training")
    assert lrsearch(folder, "best", "toy").stdout.strip() in done.stdout


def test_the_log_file_is_json_lines(searched):
    folder, _ = searched
    events = [
        json.loads(line)["event"]
        for line in (folder / "log.jsonl").read_text().splitlines()
    ]
    assert events.count("trial.ended") >= 5


def test_best_and_status_have_the_keys_that_programs_rely_on(searched):
    folder, _ = searched
    best, status = told(folder, "best", "toy"), told(folder, "status", "toy")
    assert {
        "trial",
        "value",
        "optimizer",
        "learning_rate",
        "schedule",
        "params",
        "retest",
        "yours",
    } <= set(best)
    assert {"study", "state", "budget", "done", "running", "workers"} <= set(status)
    assert (status["state"], status["budget"], status["done"], status["running"]) == (
        "finished",
        5,
        5,
        0,
    )
    assert best["retest"]["n"] == 2
    assert best["yours"]["trial"] == 0
    assert {"verdict", "next", "band", "expected"} <= set(best)
    assert best["verdict"]["counted"] == ["seeds", "rows", "choice"]


def test_every_looking_command_answers_in_text_and_json(searched):
    folder, _ = searched
    for command in (
        ["studies"],
        ["status", "toy"],
        ["trials", "toy"],
        ["show", "toy", "1"],
        ["workers", "toy"],
        ["version"],
    ):
        assert looked(folder, *command).strip()
        assert told(folder, *command)
    assert (
        len(told(folder, "trials", "toy"))
        == 5 + told(folder, "status", "toy")["retests"]["done"]
    )
    assert [each["epoch"] for each in told(folder, "show", "toy", "1")["curve"]] == [
        1,
        2,
        3,
    ]


def test_a_changed_study_file_or_space_is_refused_naming_the_fields(searched):
    folder, _ = searched
    (folder / "changed.py").write_text(STUDY.replace("epochs=3", "epochs=4"))
    command = [
        "start-study",
        "changed.py",
        "--name",
        "toy",
        "--optimizers",
        "adam",
        "--workers",
        1,
    ]
    line = lrsearch(folder, *command, code=4).stderr.splitlines()[-1]
    assert "epochs: 3 in the study, 4 here" in line
    assert "space.optimizers" in line, "options of the space are stored too"
    assert "--name NEW" in line


def test_attach_trains_what_was_added_from_elsewhere_where_the_same_code_is(searched):
    folder, _ = searched
    database = f"sqlite:///{folder}/lrsearch.db"
    other = folder / "elsewhere"
    other.mkdir()
    (other / "same.py").write_text("# the same code under another name\n" + STUDY)
    assert "is finished" in looked(other, "attach", "toy", "--storage", database)
    assert looked(folder, "extend", "toy", "--trials", 1).startswith("toy")
    assert "--study-file" in looked(
        other, "attach", "toy", "--storage", database, code=2
    )
    attach = [
        "attach",
        "toy",
        "--storage",
        database,
        "--workers",
        1,
        "--engine",
        "graph",
        "-q",
    ]
    lrsearch(other, *attach, "--study-file", "same.py")
    status = told(folder, "status", "toy")
    assert (status["budget"], status["done"], status["state"]) == (6, 6, "finished")


def reference_in(folder):
    """The number of the first optimizer's reference trial."""
    trials = told(folder, "trials", "toy")
    return next(each["trial"] for each in trials if each["origin"] == "reference")


def test_exports_are_python_that_runs_and_json(searched):
    folder, _ = searched
    trial = reference_in(folder)
    looked(folder, "export", "toy", "--trial", trial, "-o", "setting.py")
    compile((folder / "setting.py").read_text(), "setting.py", "exec")
    assert (
        json.loads(looked(folder, "export", "toy", "--format", "json"))["total_steps"]
        == 15
    )
    module = {}
    exec(looked(folder, "export", "toy", "--trial", "0"), module)
    assert module["make_optimizer"]().get_config() | {
        "name": ""
    } == keras.optimizers.Adam().get_config() | {"name": ""}, "yours too"


def test_pictures_are_written(searched):
    folder, _ = searched
    written = json.loads(
        lrsearch(folder, "plot", "toy", "-o", "pictures", "--json").stdout
    )
    names = ("curves", "progress", "rates", "schedules", "shapes")
    assert sorted(Path(each).name for each in written) == [
        f"{name}.{form}" for name in names for form in ("png", "svg")
    ]
    begins = {".png": b"\x89PNG", ".svg": b"<?xml"}
    assert all(
        (folder / each).read_bytes().startswith(begins[Path(each).suffix])
        for each in written
    )


def test_unknown_studies_and_trials_are_named_with_the_nearest(searched):
    folder, _ = searched
    assert "Did you mean 'toy'" in looked(folder, "best", "toi", code=2)
    assert (
        looked(folder, "show", "toy", "99", code=2)
        == "no trial named '99'. toy has 0 to 5, and retests like 0/1."
    )


def test_a_retest_is_shown_under_its_trial(searched):
    folder, _ = searched
    assert looked(folder, "show", "toy", "0/2").startswith(
        "retest 2 of trial 0: complete"
    )
    assert told(folder, "show", "toy", "0/2")["repeat"] == 1


def test_an_export_into_a_folder_that_is_not_there_is_refused(searched):
    folder, _ = searched
    assert "Create nowhere first" in looked(
        folder, "export", "toy", "-o", "nowhere/setting.py", code=2
    )


def test_doctor_finds_this_machine_well(searched):
    folder, _ = searched
    found = {
        each["name"]: each["well"]
        for each in told(folder, "doctor", "toy.py", "--devices", "cpu")
    }
    assert {
        "libraries",
        "devices",
        "database",
        "tensorflow",
        "training",
        "memory",
    } <= set(found)
    assert all(found.values())


@pytest.mark.long  # the searched study above has the same commands
def test_the_commands_of_the_readme_run_one_after_another(tmp_path):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```\n(\. \.venv/bin/activate\n.*?)```", readme, re.DOTALL)
    commands = block.replace(
        "--trials 20", "--trials 2 --retest 0 --workers 1"
    ).splitlines()[1:]
    assert len(commands) == 6
    shell = f'lrsearch() {{ "{sys.executable}" -m lrsearch "$@"; }}\n'
    subprocess.run(
        ["bash", "-ec", shell + "\n".join(commands)],
        cwd=tmp_path,
        check=True,
        timeout=240,
    )
    assert "<h1>my_study</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")


PAUSE = """
class Pause(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch > 0:  # not at the one step of the inspection
            Path("second-epoch").touch()
        if not Path("interrupted").exists():
            time.sleep(0.5)
"""


# tests/end_to_end/test_workers.py signals the toy's command; every engine's resume is
# in tests/contract.
@pytest.mark.long
def test_ctrl_c_puts_the_running_trial_back_and_the_same_command_goes_on(tmp_path):
    text = "import time\nfrom pathlib import Path\n" + STUDY.replace(
        "\ndefinition =", PAUSE + "\ndefinition ="
    )
    (tmp_path / "toy.py").write_text(
        text.replace("epochs=3", "epochs=20, callbacks=lambda: [Pause()]")
    )
    command = ["start-study", "toy.py", "--workers", "1", "--engine", "fit"]
    asked = [*command, "--trials", "1", "--retest", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lrsearch", *asked],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not (tmp_path / "second-epoch").exists():
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130, text
    (tmp_path / "interrupted").touch()
    assert "back in the queue" in text
    status = told(tmp_path, "status", "toy")
    assert (status["done"], status["running"], status["waiting"]) == (0, 0, 1)
    lrsearch(tmp_path, *command, "-q")
    trial = told(tmp_path, "show", "toy", "0")
    assert trial["state"] == "complete"
    assert trial["attempts"] == 2
    assert [each["epoch"] for each in trial["curve"]] == list(range(1, 21)), (
        "it went on where it stood"
    )


def test_the_dashboard_serves_reads_and_refuses_the_rest(searched):
    folder, _ = searched
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "lrsearch", "dashboard", "--port", str(port)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        until = time.monotonic() + 120
        while (
            "Written by lrsearch" not in (page := read(port, "/api/studies/1")[1])
            and time.monotonic() < until
        ):
            time.sleep(0.5)
        assert "Written by lrsearch" in page, "trial and study notes"
        assert '"val_accuracy"' in page, "metric names"
        assert read(port, "/dashboard")[0] == 200
        before = (folder / "lrsearch.db").read_bytes()
        assert read(port, "/api/studies/1", method="DELETE")[0] == 405
        assert (
            read(
                port,
                "/api/trials/1/tell",
                method="POST",
                body=b'{"state":"Complete","values":[NaN]}',
            )[0]
            == 405
        )
        assert read(port, "/incompatible-rdb-schema", method="POST")[0] in {404, 405}
        assert read(port, "/api/studies", host="evil.example")[0] == 403
        assert (folder / "lrsearch.db").read_bytes() == before
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def read(port, path, *, method="GET", body=None, host=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", method=method, data=body
    )
    if host:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_archive_is_verified_by_training_again_from_the_zip_alone(
    searched, tmp_path
):
    folder, _ = searched
    assert "13 files" in looked(folder, "archive", "toy", "-o", tmp_path / "toy.zip")
    done = lrsearch(tmp_path, "verify", "toy.zip", "--trials", 2, "--json")
    found = json.loads(done.stdout)
    assert found["holds"]
    assert [each["verdict"] for each in found["trials"]] == ["same", "same"]
    assert {0, told(folder, "best", "toy")["trial"]} >= {
        int(e["trial"]) for e in found["trials"]
    }


def test_trials_are_printed_as_csv_with_a_column_for_each_knob(searched):
    folder, _ = searched
    rows = list(
        csv.DictReader(looked(folder, "trials", "toy", "--format", "csv").splitlines())
    )
    assert [row["trial"] for row in rows[:5]] == ["0", "1", "2", "3", "4"]
    values = [each["value"] for each in told(folder, "trials", "toy")]
    assert [float(row["value"]) for row in rows] == values
    assert {"optimizer", "shape.warmup", "logs.val_accuracy"} <= rows[0].keys()
    assert json.loads(looked(folder, "trials", "toy", "--format", "json")) == told(
        folder, "trials", "toy"
    )
    looked(folder, "trials", "toy", "--format", "csv", "--json", code=2)


def test_keras_alone_loads_the_answer_trained_once_more_with_its_value_and_an_exported_model_with_our_schedule(
    searched, tmp_path
):
    folder, _ = searched
    done = lrsearch(folder, "train", "toy", "-o", tmp_path / "toy.keras", "--json")
    found = json.loads(done.stdout)
    assert found["trial"] == told(folder, "best", "toy")["trial"]
    low, high = found["interval"]
    assert found["inside"] == (low <= found["value"] <= high)
    assert found["loads_safely"]
    assert [each.name for each in tmp_path.iterdir()] == ["toy.keras"]
    exported = ["--trial", reference_in(folder), "--format", "keras"]
    looked(folder, "export", "toy", *exported, "-o", "model.keras")
    code = (
        "import sys, runpy, keras\n"
        "model = keras.saving.load_model(sys.argv[1], safe_mode=True)\n"
        "assert 'lrsearch' not in sys.modules\n"
        "x, y = runpy.run_path('toy.py')['load_data']()[1]\n"
        "print(model.evaluate(x, y, verbose=0, return_dict=True)['accuracy'])\n"
        "import lrsearch.keras\n"
        "exported = keras.saving.load_model('model.keras')\n"
        "print(type(exported.optimizer._learning_rate).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, tmp_path / "toy.keras"], cwd=folder,
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    *_, value, schedule = done.stdout.split()
    assert float(value) == pytest.approx(found["value"], abs=1e-6)
    assert schedule == "Schedule"


def test_an_exported_file_is_trained_elsewhere_without_the_database(searched, tmp_path):
    folder, _ = searched
    looked(folder, "export", "toy", "--format", "json", "-o", tmp_path / "best.json")
    (tmp_path / "toy.py").write_text(STUDY)
    done = lrsearch(tmp_path, "replay", "best.json", "-o", "model.keras", "--epochs", 1)
    assert "its values do not tell what another length gives" in done.stdout
    assert (tmp_path / "model.keras").stat().st_size > 1000
    assert not list(tmp_path.glob("*.db"))
    (tmp_path / "toy.py").write_text(STUDY.replace("relu", "tanh"))
    changed = lrsearch(tmp_path, "replay", "best.json", "-o", "other.keras", code=4)
    assert "in the study" in changed.stderr
    assert not (tmp_path / "other.keras").exists()
