"""With --json every error is one JSON document on standard output, with the exit code
that it has without.
"""

import json

import click
import pytest

from lrsearch.cli.main import cli, main
from lrsearch.errors import InvalidValue, LrSearchError

KEYS = {
    "error",
    "kind",
    "field",
    "got",
    "allowed",
    "fix",
    "retryable",
    "exit_code",
    "traceback",
}


def leaves(group=cli, prefix=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*prefix, name))
        elif any("--json" in each.opts for each in command.params):
            yield (*prefix, name), command


COMMANDS = {" ".join(words): command for words, command in leaves()}


def arguments_of(command):
    return [
        "5" if each.name == "trial" else "missing"
        for each in command.params
        if isinstance(each, click.Argument) and each.required
    ]


def run(capsys, *words):
    """Exit code, standard output and standard error of a command line in this process."""
    with pytest.raises(SystemExit) as left:
        main(list(words))
    out, err = capsys.readouterr()
    return left.value.code, out, err


def failure(capsys, *words):
    """The document of a command line that fails, held against the same one without --json."""
    code, out, err = run(capsys, *words, "--json")
    found = json.loads(out)
    assert set(found) == KEYS
    assert found["exit_code"] == code != 0
    assert found["error"].split(".")[0] in " ".join(err.split()), (
        "people still read it on standard error"
    )
    plain_code, plain_out, plain_err = run(capsys, *words)
    assert (plain_code, plain_out, plain_err) == (code, "", err)
    return found


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRSEARCH_STORAGE", raising=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_no_command_has_is_a_document(name, capsys):
    found = failure(
        capsys, *name.split(), *arguments_of(COMMANDS[name]), "--storag", "x"
    )
    assert (found["kind"], found["field"], found["retryable"]) == (
        "NoSuchOption",
        "--storag",
        False,
    )
    assert "--json" in found["allowed"]
    if "--storage" in found["allowed"]:
        assert found["fix"] == "Did you mean --storage?"


@pytest.mark.parametrize(
    "name", [name for name, each in COMMANDS.items() if arguments_of(each)]
)
def test_a_missing_argument_is_a_document(name, capsys):
    found = failure(capsys, *name.split())
    assert (found["kind"], found["got"], found["exit_code"]) == (
        "MissingParameter",
        None,
        2,
    )
    assert found["field"] in {"STUDY", "STUDY...", "STUDY_FILE", "ARCHIVE", "FILE"}


NEEDED = {
    "extend": ["--trials", "1"],
    "retest": ["--seeds", "5"],
    "retry": ["--failed"],
    "plot": ["-o", "pictures"],
    "report": ["-o", "report.html"],
    "train": ["-o", "model.keras"],
    "archive": ["-o", "study.zip"],
    "delete": ["--yes"],
    "log": ["--to", "tensorboard=runs"],
}
# None has a database that could be missing: these begin with a file or a folder,
# doctor's findings are its output.
WITHOUT = {
    "start-study",
    "plan",
    "doctor",
    "version",
    "database start",
    "database stop",
    "database status",
    "replay",
    "verify",
}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT])
def test_a_database_that_is_not_there_is_a_document(name, capsys):
    found = failure(
        capsys,
        name,
        *arguments_of(COMMANDS[name]),
        *NEEDED.get(name, ()),
        "--storage",
        "sqlite:///no.db",
    )
    assert (found["kind"], found["exit_code"]) == ("StorageProblem", 3)
    assert (
        found["fix"] == "Start a study there first, or say where it is with --storage."
    )


@pytest.mark.parametrize(
    ("line", "field", "got", "allowed"),
    [
        (
            "start-study s.py --workers 0",
            "--workers",
            "0",
            "a whole number of at least 1",
        ),
        ("start-study s.py --trials many", "--trials", "many", "a whole number"),
        ("start-study s.py --timeout 3x", "--timeout", "3x", "a duration above 0"),
        ("start-study s.py --timeout=3x", "--timeout", "3x", "a duration above 0"),
        (
            "start-study s.py --checkpoint-quota 3",
            "--checkpoint-quota",
            "3",
            "a size above 0",
        ),
        ("start-study s.py --warmup low", "--warmup", "low", "one number, or LOW,HIGH"),
        (
            "start-study s.py --batch-size a",
            "--batch-size",
            "a",
            "whole numbers like 32,64",
        ),
        ("start-study s.py --extra a", "--extra", "a", "NAME=LOW,HIGH or NAME=A/B/C"),
        (
            "start-study s.py --sampler tpee",
            "--sampler",
            "tpee",
            ["auto", "tpe", "random", "qmc", "gp"],
        ),
        ("start-study s.py", "study file", None, None),
        (
            "attach digits --until never",
            "--until",
            "never",
            ["done", "idle", "unneeded"],
        ),
        (
            "extend digits",
            "--trials",
            None,
            ["--trials N", "--trainings N", "--timeout TIME"],
        ),
        ("doctor s.py", "STUDY_FILE", "s.py", "a path that exists"),
        ("database start", "--dir", None, "a folder's path"),
        (
            "database start --dir . --port 70000",
            "--port",
            "70000",
            "a whole number of at least 1 and at most 65535",
        ),
        (
            "database status --dir /no",
            "--dir",
            "/no",
            "a folder that `lrsearch database start` made",
        ),
        ("studies more", None, None, None),
        ("retry digits", "--failed", None, None),
    ],
)
def test_field_got_and_allowed_come_with_the_error(line, field, got, allowed, capsys):
    found = failure(capsys, *line.split())
    assert (found["field"], found["got"], found["allowed"]) == (field, got, allowed)


def test_an_option_without_its_value_is_a_document(capsys):
    code, out, _ = run(capsys, "start-study", "s.py", "--json", "--sampler")
    found = json.loads(out)
    assert (code, found["exit_code"], found["field"], found["got"]) == (
        2,
        2,
        "--sampler",
        None,
    )


def test_a_command_that_is_not_there_names_the_nearest(capsys):
    found = failure(capsys, "bset", "digits")
    assert (found["field"], found["got"], found["fix"]) == (
        "command",
        "bset",
        "Did you mean 'best'?",
    )
    assert failure(capsys, "database", "stat")["fix"] == "Did you mean 'start'?"


def test_a_fault_of_ours_is_a_document_before_its_traceback(capsys, monkeypatch):
    monkeypatch.setattr("lrsearch.version.versions", lambda: {}["gone"])
    with pytest.raises(KeyError):
        main(["version", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["error"], found["kind"], found["exit_code"]) == (
        "KeyError: 'gone'",
        "KeyError",
        1,
    )


@pytest.mark.parametrize(
    ("raised", "retryable"), [(KeyboardInterrupt(), True), (click.Abort(), False)]
)
def test_an_interruption_is_a_document(raised, retryable, capsys, monkeypatch):
    def interrupt(*_given, **_named):
        raise raised

    monkeypatch.setattr(cli, "main", interrupt)
    found = failure(capsys, "version")
    assert (found["error"], found["exit_code"], found["retryable"]) == (
        "interrupted",
        130,
        retryable,
    )


def test_after_two_dashes_json_is_a_name(capsys):
    code, out, _ = run(capsys, "best", "--", "--json")
    assert (code, out) == (3, "")


def test_what_json_cannot_hold_is_told_as_text():
    found = InvalidValue(
        "space", got={1: (float("nan"), {2})}, allowed="a SearchSpace"
    ).to_json()
    assert json.loads(json.dumps(found, allow_nan=False))["got"] == {
        "1": ["nan", "{2}"]
    }


def test_every_error_of_ours_has_the_same_keys():
    def below(kind):
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    assert all(
        set(kind.__new__(kind).to_json()) == KEYS for kind in below(LrSearchError)
    )
