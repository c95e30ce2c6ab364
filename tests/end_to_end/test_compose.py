"""docker-compose.yml: its schema, and its very commands and environment as processes against a real PostgreSQL."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from servers import free_port

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

STUDY = """
import keras, numpy as np
from lrsearch import SearchSpace, StudyDefinition
def load_data():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
    return (x, x[:, :1]), (x, x[:, :1])
def build_model():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model
definition = StudyDefinition(epochs=1, batch_size=20, space=SearchSpace(optimizers=["sgd", "adam"], schedules=["linear"]))
"""


def test_it_is_valid_by_the_compose_specification():
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(ROOT / "docker-compose.yml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_password_stands_on_a_command_line_or_in_an_environment_and_nobody_is_root():
    for name, service in COMPOSE["services"].items():
        assert "password" not in " ".join(service.get("command", [])).lower(), name
        for variable, value in service["environment"].items():
            assert not re.search(r"://[^/@]*:[^/@]+@", value), (name, variable)
            assert not variable.endswith(("PASSWORD", "TOKEN")), (name, variable)
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert lines.index("USER lrsearch") < lines.index('ENTRYPOINT ["lrsearch"]')


@pytest.fixture
def composed(new_database, tmp_path):
    """Starts a service's command in its environment, as Compose would, with its paths and its database's name filled in."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "toy.py").write_text(STUDY)
    (tmp_path / "postgres-password").write_text("any\n")
    (tmp_path / "dashboard-token").write_text("0123456789abcdef\n")
    url = new_database("postgresql")
    given = {"LRSEARCH_STUDY": "toy", "LRSEARCH_TRIALS": "4"}
    port = free_port()

    def filled(text):
        text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: given.get(found[1], found[2]), str(text))
        text = text.replace("postgresql+psycopg://lrsearch@database/lrsearch", url)
        text = text.replace("/run/secrets", str(tmp_path)).replace("/checkpoints", str(tmp_path / "checkpoints"))
        return text.replace("8080", str(port))

    def start(name, *, core=None):
        """With `core`, the service has this one alone: as small as a container may be, it starts one worker."""
        service = COMPOSE["services"][name]
        command = [sys.executable, "-m", "lrsearch", *map(filled, service["command"])]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LRSEARCH")}
        environment = (
            clean | {key: filled(value) for key, value in service["environment"].items()} | {"CUDA_VISIBLE_DEVICES": "-1"}
        )
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, ours if core is None else {core})  # inherited
        try:
            return subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        finally:
            os.sched_setaffinity(0, ours)

    start.port = port
    return start


@pytest.mark.slow
@pytest.mark.tensorflow
def test_its_services_search_a_study_and_show_it(composed):
    starter = composed("starter")
    text, _ = starter.communicate(timeout=120)
    assert starter.returncode == 0, text
    cores = sorted(os.sched_getaffinity(0))
    workers = [composed("worker", core=core) for core in (cores[0], cores[-1])]  # --scale worker=2
    for each in workers:
        text, _ = each.communicate(timeout=180)
        assert each.returncode == 0, text
        assert "toy is finished" in text
    dashboard = composed("dashboard")
    try:
        assert page(composed.port, "/api/studies")[0] == 401
        status, body = page(composed.port, "/api/studies", token="0123456789abcdef")
        assert status == 200
        assert '"toy"' in body
    finally:
        dashboard.terminate()
        dashboard.communicate(timeout=20)


def page(port, path, token=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.2)
