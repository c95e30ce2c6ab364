"""A search in the background, and the waiting for it, as a program drives them."""

import json
import os
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import toy_command


@pytest.fixture
def shell(tmp_path):
    """Runs a command line in a folder of its own; returns its exit code and its JSON."""
    environment, started = toy_command.install(tmp_path), []

    def run(line):
        done = subprocess.run(
            shlex.split(line), cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        data = json.loads(done.stdout)
        if isinstance(data, dict) and "pid" in data:
            started.append(data["pid"])
        return done.returncode, data

    yield run
    for pid in started:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def toy(folder, **says):
    (folder / "toy.json").write_text(
        json.dumps({"journal": str(folder / "journal"), **says})
    )


def wait_for_json(file, seconds=60):
    """The JSON of a file that a process writes as the last thing it does."""
    until = time.monotonic() + seconds
    while not (text := file.read_text()).endswith("\n"):
        assert time.monotonic() < until, text
        time.sleep(0.1)
    return json.loads(text)


START = "lrsearch start-study toy.json --trials 4 --retest 0 --workers 1 --background --json"


@pytest.mark.slow
def test_a_search_in_the_background_is_waited_for_and_ended_by_its_own_commands(
    shell, tmp_path
):
    toy(tmp_path, epochs=4, epoch_seconds=0.8)
    code, begun = shell(START)
    assert code == 0
    assert begun["study"] == "toy"
    assert (begun["bill"]["trials"], begun["bill"]["retests"]) == (4, 0)
    assert begun["bill"]["text"].startswith("4 trials")
    os.kill(begun["pid"], 0)
    assert "process has ended" in begun["answer_is_whole"]
    assert not Path(begun["answer"]).read_text()

    looks = [shell(begun["wait"])]
    while looks[-1][0] == 5:
        looks.append(shell(begun["wait"]))
    code, seen = looks[-1]
    assert (code, seen["ended"]) == (0, True)
    assert all(each["next"]["action"] == "wait" for code, each in looks if code == 5)
    assert seen["done"] == 4
    seen_of = [
        [each[name] for name in ("state", "best", "yours", "ended")]
        for _, each in looks
    ]
    assert all(one != next_one for one, next_one in pairwise(seen_of)), (
        "an ended trial that changes nothing is no change"
    )
    assert seen["verdict"]["text"]
    assert seen["next"]["action"] != "wait"
    assert shell(begun["best"])[1]["study"] == "toy"
    assert wait_for_json(Path(begun["answer"]))["study"] == "toy", (
        "the search's own answer"
    )


@pytest.mark.slow
def test_a_search_that_was_stopped_stands_still_and_the_same_command_goes_on(
    shell, tmp_path
):
    toy(tmp_path, epochs=4, epoch_seconds=0.5)
    _, begun = shell(START)
    os.kill(begun["pid"], signal.SIGTERM)
    until = time.monotonic() + 120
    while (seen := shell("lrsearch status toy --json --wait 0"))[0] == 5:
        assert time.monotonic() < until
    assert seen[0] == 6
    assert seen[1]["next"]["text"] == "No worker trains it. Go on: lrsearch attach toy"
    assert shell(START)[0] == 0
    while (code := shell(begun["wait"])[0]) == 5:
        pass
    assert code == 0


@pytest.mark.slow
def test_a_search_that_cannot_begin_ends_with_its_own_error_and_exit_code(
    shell, tmp_path
):
    toy(tmp_path, inspect="refuse")
    code, error = shell(START)
    assert code == error["exit_code"] == 2
    assert error["kind"] == "StudyFileError"


def test_what_needs_the_search_here_is_refused(shell, tmp_path):
    toy(tmp_path)
    code, error = shell(f"{START} --create-only")
    assert (code, error["field"]) == (2, "--create-only")
    assert (
        shell("lrsearch start-study none.json --background --json")[1]["kind"]
        == "StudyFileError"
    )
