"""Documents that tests read cannot drift."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from documents import DOCUMENTS, written

import lrsearch
from lrsearch.cli.main import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def commands(group: click.Group = cli, prefix: str = "") -> dict[str, click.Command]:
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


COMMANDS = commands()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_help_and_a_place_in_the_reference(name):
    assert COMMANDS[name].help
    assert f"`lrsearch {name}" in REFERENCE


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_help_and_stands_in_the_reference(name):
    section = REFERENCE.split(f"`lrsearch {name}", 1)[1].split("\n### ", 1)[0]
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help, option.opts
            assert option.opts[0] in section, (
                f"{option.opts[0]} of {name} is missing from docs/reference.md"
            )


def test_the_reference_is_what_its_writer_writes():
    done = subprocess.run(
        [sys.executable, "-c", "import make_reference; print(make_reference.reference(), end='')"],
        cwd=ROOT / "docs", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == REFERENCE, "run docs/make_reference.py"


@pytest.mark.parametrize(
    "kind", [lrsearch.StudyDefinition, lrsearch.SearchSpace, lrsearch.TrialInfo]
)
def test_the_reference_has_a_line_for_every_field(kind):
    part = REFERENCE.split(f"\n## {kind.__name__}\n", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^- `([a-z_, ]+)`: ", part, re.MULTILINE)
    assert [name for line in lines for name in line.split(", ")] == [
        each.name for each in dataclasses.fields(kind)
    ]


def test_every_command_prints_json_unless_its_output_is_a_file_a_script_or_a_server():
    without = {
        name
        for name, each in COMMANDS.items()
        if not any("--json" in option.opts for option in each.params)
    }
    assert without == {"completion", "dashboard", "export", "new-study", "skill"}


def test_ci_runs_the_readmes_second_command_word_for_word():
    first, second = re.findall(r"^(python3 -m venv .*)$", README, re.MULTILINE)
    assert first.endswith("lrsearch start-study studies/autoencoder.py")
    assert f"\n{second}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def parsed(line: str) -> list[str]:
    """What is left of a command's words when it has taken its options and arguments."""
    words = [
        word for word in shlex.split(line, comments=True) if word not in {"&&", "..."}
    ]
    depth = 2 if isinstance(cli.commands.get(words[0]), click.Group) else 1
    command = COMMANDS[" ".join(words[:depth])]
    parser = command.make_parser(click.Context(command))
    try:
        return parser.parse_args(words[depth:])[1]
    except click.BadOptionUsage:
        # a sentence names an option, such as `attach --leave-by`
        return parser.parse_args([*words[depth:], "a value"])[1]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_can_be_parsed(document):
    for line in written(document):
        assert not parsed(line), line


def test_documents_that_lead_through_commands_have_some():
    led = {"README.md", "lrsearch/cli/skill.md"} | {
        f"docs/{name}.md"
        for name in ("guide", "clusters", "questions", "reliability", "from_optuna", "from_ray_tune", "from_keras_tuner")
    }  # fmt: skip
    assert led <= set(DOCUMENTS)
    assert all(map(written, led))


@pytest.mark.parametrize("wrong", ["best my_study --sead 7", "beast my_study"])
def test_a_command_that_is_not_there_would_be_seen(wrong):
    with pytest.raises((click.NoSuchOption, KeyError)):
        parsed(wrong)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_programs_and_tests_that_a_command_runs_are_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for name in re.findall(
        r"(?:python|pytest|bash)[^`\n]*? ((?:docs|benchmarks|tests|studies)/[\w./]+)",
        text,
    ):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_extras_that_a_command_installs_are_there(document):
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / document).read_text(encoding="utf-8")
    for names in re.findall(r"(?:lrsearch|'\.|\.whl)\[([a-z,]+)\]", text):
        assert set(names.split(",")) <= set(told["project"]["optional-dependencies"]), (
            names
        )


def test_the_readmes_study_file_is_at_most_twenty_lines():
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(block.strip().splitlines()) <= 20
    compile(block, "README.md", "exec")


def test_links_and_pictures_of_the_documents_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(
            r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")
        ):
            assert (document.parent / target).exists(), (
                f"{document.name} links to {target}"
            )


def test_the_door_is_exactly_all():
    public = {name for name in dir(lrsearch) if not name.startswith("_")}
    assert public == set(lrsearch.__all__)
    assert all(
        not inspect.ismodule(getattr(lrsearch, name)) for name in lrsearch.__all__
    )


def test_help_and_import_load_no_heavy_library():
    code = (
        "import sys, lrsearch, lrsearch.cli, json\n"
        "heavy = {'keras', 'tensorflow', 'optuna', 'sqlalchemy', 'numpy', 'matplotlib', 'pandas', 'rich'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_the_version_stands_in_one_tone_everywhere():
    assert f'version = "{lrsearch.__version__}"' in (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )
    assert f"## {lrsearch.__version__}" in (ROOT / "CHANGELOG.md").read_text(
        encoding="utf-8"
    )


def test_the_long_description_has_no_relative_link_and_no_relative_picture():
    pytest.importorskip("hatchling")
    sys.path.insert(0, str(ROOT))
    try:
        from hatch_build import RELATIVE, long_description
    finally:
        sys.path.remove(str(ROOT))
    assert RELATIVE.search(README), "they work in a checkout"
    assert not RELATIVE.search(long_description(README))
    linked = long_description("![a](docs/a.png) [b](https://b)", "https://c")
    assert linked == "![a](https://c/docs/a.png) [b](https://b)"
