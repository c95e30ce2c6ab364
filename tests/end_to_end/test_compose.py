"""docker-compose.yml: its schema, and its very commands and environment as processes
against a real PostgreSQL.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import pytest
import toy_command
import yaml
from servers import free_port

from lrsearch.storage import open_ledger
from lrsearch.values import StudyState

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {
    name: service for name, service in COMPOSE["services"].items() if name != "database"
}


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker-compose.gpu.yml"])
def test_it_is_valid_by_the_compose_specification(file):
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(ROOT / file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    shutil.which("docker-compose") is None
    and "LRSEARCH_TEST_NO_SKIP" not in os.environ,
    reason="docker-compose is not installed",
)
@pytest.mark.parametrize("gpu", [False, True])
def test_docker_compose_itself_reads_the_files_and_the_override_changes_the_worker_alone(
    tmp_path, gpu
):
    def read(*files):
        words = [word for each in files for word in ("-f", str(ROOT / each))]
        command = [
            "docker-compose",
            "--project-directory",
            str(tmp_path),
            *words,
            "config",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return yaml.safe_load(done.stdout)["services"]

    plain = read("docker-compose.yml")
    assert set(plain) == set(COMPOSE["services"])
    assert plain["worker"]["cpus"] == 1
    if gpu:
        both = read("docker-compose.yml", "docker-compose.gpu.yml")
        worker, before = both.pop("worker"), plain.pop("worker")
        assert [sorted(each) for each in both.values()] == [
            sorted(each) for each in plain.values()
        ]
        assert {name for name in worker if worker[name] != before.get(name)} <= {
            # which it lists in another order
            "build", "command", "cpus", "deploy", "volumes"
        }  # fmt: skip
        assert worker["build"]["args"] == {"EXTRA": "gpu"}
        [device] = worker["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_no_password_stands_on_a_command_line_or_in_an_environment_and_nobody_is_root():
    for name, service in COMPOSE["services"].items():
        assert "password" not in " ".join(service.get("command", [])).lower(), name
        for variable, value in service["environment"].items():
            assert not re.search(r"://[^/@]*:[^/@]+@", value), (name, variable)
            assert not variable.endswith(("PASSWORD", "TOKEN")), (name, variable)
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert lines.index("USER lrsearch") < lines.index('ENTRYPOINT ["lrsearch"]')


def test_images_are_pinned_and_whatever_must_last_comes_back_after_a_reboot():
    images = [
        COMPOSE["services"]["database"]["image"],
        re.search("^FROM (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1],
    ]
    assert all(re.search(r":\d+\.\d+(\.\d+)?-", each) for each in images), images
    restarts = {
        name: service.get("restart") for name, service in COMPOSE["services"].items()
    }
    lasting = dict.fromkeys(("database", "worker", "dashboard"), "unless-stopped")
    assert restarts == lasting | {"starter": None, "lrsearch": None}
    assert all(service["init"] for service in OURS.values())
    assert all(
        OURS[name]["entrypoint"] == ["lrsearch-service"]
        for name in ("worker", "dashboard")
    ), "it ends no loop otherwise"


def test_a_scaled_worker_is_one_process_on_one_core():
    worker = OURS["worker"]
    assert worker["command"][worker["command"].index("--workers") + 1] == "1"
    assert worker["cpus"] == "${LRSEARCH_CPUS:-1}"


@pytest.mark.parametrize(
    ("extra", "asked"),
    [("", "postgresql,plot,examples"), ("gpu", "postgresql,plot,examples,gpu")],
)
def test_another_extra_comes_beside_what_the_studies_need(extra, asked):
    wanted = re.search(r'"\.\[(.*)\]"', (ROOT / "Dockerfile").read_text())[1]
    said = subprocess.run(
        ["sh", "-c", f'echo "{wanted}"'],
        env={"EXTRA": extra},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == asked


def test_the_builder_gets_what_the_image_needs_and_no_secrets():
    kept = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    copied = [
        name
        for line in re.findall(
            "^COPY (.*) \\S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
        )
        for name in line.split()
    ]
    assert kept[0] == "*"
    assert {f"!{Path(name).parts[0]}" for name in copied} == {
        line for line in kept if line.startswith("!")
    }
    assert all((ROOT / name).exists() for name in copied)


def test_its_secrets_are_read_by_any_user_of_a_container_and_by_no_other_user_of_the_host(
    tmp_path,
):
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    commands = [
        line.removeprefix("#   ")
        for line in lines
        if line.startswith("#   ") and "secrets" in line and "open " not in line
    ]
    subprocess.run(
        ["sh", "-c", "umask 077\n" + "\n".join(commands)], cwd=tmp_path, check=True
    )
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for secret in COMPOSE["secrets"].values():
        file = tmp_path / secret["file"]
        assert file.stat().st_mode & 0o777 == 0o644
        assert len(file.read_text().strip()) >= 32


@pytest.fixture
def service(tmp_path):
    """docker/service.sh around an `lrsearch` that leaves with a code, or that leaves on
    SIGTERM as one does that trains.
    """
    (tmp_path / "lrsearch").write_text(
        '#!/bin/sh\ntrap "sleep 0.3; echo put back; exit 143" TERM\n[ "$1" = train ] || exit "$1"\n'
        "echo training\nwhile :; do sleep 0.05; done\n"
    )
    (tmp_path / "lrsearch").chmod(0o755)
    started = []

    def start(*arguments):
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = [str(ROOT / "docker" / "service.sh"), *map(str, arguments)]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    end_all(started)


def end_all(started):
    """With all that they started."""
    for each in started:
        with suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGKILL)
        each.communicate()


@pytest.mark.parametrize("code", [0, 1, 2, 4])
def test_what_no_restart_would_mend_waits_to_be_stopped(service, code):
    process = service(code)
    assert f"left with {code}" in process.stderr.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.terminate()
    assert process.wait(5) == 0


@pytest.mark.parametrize("code", [3, 137])
def test_what_a_restart_may_mend_leaves_with_its_code(service, code):
    assert service(code).wait(5) == code


def test_a_stop_reaches_lrsearch_which_puts_its_trials_back(service):
    process = service("train")
    assert process.stdout.readline() == "training\n"
    process.terminate()
    assert process.wait(5) == 143
    assert process.stdout.read() == "put back\n"


@pytest.fixture
def composed(new_database, tmp_path):
    """Starts a service's command in its environment, as Compose would, with its paths
    and its database's name filled in.
    """
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "toy.py").touch()
    (tmp_path / "postgres-password").write_text("any\n")
    (tmp_path / "dashboard-token").write_text("0123456789abcdef\n")
    url = new_database("postgresql")
    given = {"LRSEARCH_STUDY": "toy", "LRSEARCH_TRIALS": "4"}
    port, started = free_port(), []

    def filled(text):
        text = re.sub(
            r"\$\{(\w+):-([^}]*)\}",
            lambda found: given.get(found[1], found[2]),
            str(text),
        )
        text = text.replace("postgresql+psycopg://lrsearch@database/lrsearch", url)
        text = text.replace("/run/secrets", str(tmp_path)).replace(
            "/checkpoints", str(tmp_path / "checkpoints")
        )
        return text.replace("8080", str(port))

    environment = toy_command.install(tmp_path)

    def start(name, *command, core=None):
        """Runs the service, with `command` in place of its own.

        With `core` it has this one alone, as `cpus: 1` gives it.
        """
        service = OURS[name]
        program = {
            "lrsearch": "lrsearch",
            "lrsearch-service": str(ROOT / "docker" / "service.sh"),
        }
        entry = program[service.get("entrypoint", ["lrsearch"])[0]]
        command = [entry, *(command or map(filled, service["command"]))]
        given = {key: filled(value) for key, value in service["environment"].items()}
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, ours if core is None else {core})  # inherited
        try:
            started.append(
                subprocess.Popen(
                    command,
                    cwd=tmp_path,
                    env=environment | given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
        finally:
            os.sched_setaffinity(0, ours)
        return started[-1]

    start.port, start.url = port, url
    yield start
    end_all(started)


@pytest.mark.slow
def test_its_services_search_a_study_show_it_and_looking_changes_nothing(composed):
    assert ended(composed("starter")) == (
        0,
        "toy is ready; attach workers with: lrsearch attach toy\n",
    )
    cores = sorted(os.sched_getaffinity(0))
    # --scale worker=2
    workers = [composed("worker", core=core) for core in (cores[0], cores[-1])]
    for each in workers:
        assert "lrsearch left with 0; this container waits" in said(each)
        each.terminate()
        assert each.wait(10) == 0
    assert ended(composed("lrsearch", "extend", "toy", "--trials", "3"))[0] == 0
    with closing(open_ledger(composed.url)) as ledger:
        ledger.set_state(ledger.study("toy").id, StudyState.DRAINING)
        before = ledger.study("toy")
        code, text = ended(composed("starter"))  # as `docker compose up` runs it again
        assert (
            code,
            "toy is there already and stays as it is: draining, with a budget of 7 trials"
            in text,
        ) == (0, True)
        assert ledger.study("toy") == before
    dashboard = composed("dashboard")
    assert page(composed.port, "/api/studies")[0] == 401
    status, body = page(composed.port, "/api/studies", token="0123456789abcdef")
    assert status == 200
    assert '"toy"' in body
    dashboard.terminate()
    assert dashboard.wait(10) == 0, "docker compose stop must not have to kill it"


def ended(process):
    text, _ = process.communicate(timeout=120)
    return process.returncode, text


def said(process):
    """What a service said until it waits, or ends."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "this container waits" in line:
            break
    return "".join(lines)


def page(port, path, token=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    until = time.monotonic() + 120
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
