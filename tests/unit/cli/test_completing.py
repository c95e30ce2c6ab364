"""Completion in real shells, and commands in a real terminal."""

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios

import pytest
from click.testing import CliRunner
from ledger_tools import add_worker, plan, train

from lrsearch.cli.main import cli
from lrsearch.storage import open_ledger

LONG = "a_study_with_a_name_that_takes_up_most_of_the_width_of_a_terminal"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a database of three studies, and `lrsearch` to call; its environment."""
    tmp_path = tmp_path_factory.mktemp("shell")
    ledger = open_ledger(f"sqlite:///{tmp_path}/lrsearch.db", create=True)
    study = ledger.create_study(plan(trials=12, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    ledger.create_study(plan(name="my own study"))
    ledger.create_study(
        plan(name=LONG, study_file="studies/in/a/folder/of/many/studies.py")
    )
    ledger.close()
    program = tmp_path / "lrsearch"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lrsearch "$@"\n')
    program.chmod(0o755)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LRSEARCH", "COLUMNS"))
    }
    return tmp_path, kept | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "TERM": "xterm",
    }


def completed(world, line):
    """What bash would put in the place of the line's last word."""
    folder, environment = world
    script = (
        'eval "$(lrsearch completion bash)"; complete -p lrsearch >/dev/null || exit 9;'
        'COMP_LINE=$1 COMP_POINT=${#1}; _lrsearch_completion lrsearch; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lrsearch compl", ["completion"]),
        ("lrsearch best to", ["toy"]),
        ("lrsearch stop --now m", ["my\\ own\\ study"]),
        ("lrsearch status my\\ o", ["my\\ own\\ study"]),
        ("lrsearch show toy 1", ["1", "10", "11"]),
        ("lrsearch show --storage sqlite:///lrsearch.db toy 11", ["11"]),
        ("lrsearch export toy --trial 1", ["1", "10", "11"]),
        ("lrsearch best --storage sqlite:///elsewhere.db ", [""]),
    ],
)
def test_bash_completes_commands_studies_and_trials(world, line, words):
    assert completed(world, line) == words


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells_can_be_read_by_them(shell, tmp_path):
    script = CliRunner().invoke(cli, ["completion", shell]).stdout
    assert "_LRSEARCH_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(script)
    assert (
        subprocess.run([shell, "-n", tmp_path / "script"], check=False).returncode == 0
    )


def in_terminal(world, width, *arguments):
    """What a command prints where standard output is a terminal of so many columns."""
    folder, environment = world
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        ["lrsearch", *arguments], cwd=folder, env=environment, stdout=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return seen.decode().replace("\r\n", "\n")


def test_a_terminal_is_fitted_and_a_pipe_gets_all(world):
    narrow = in_terminal(world, 80, "studies")
    assert all(len(line) <= 80 for line in narrow.splitlines())
    assert "(no room for:" in narrow
    folder, environment = world
    piped = subprocess.run(
        ["lrsearch", "studies"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "studies/in/a/folder/of/many/studies.py" in piped
    assert piped == in_terminal(world, 300, "studies")
