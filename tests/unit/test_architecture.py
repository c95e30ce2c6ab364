"""What docs/architecture.md and the pages beside it say of the code is so."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lrsearch"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"])
FILE = re.compile(r"`([\w./]+\.py)(?:: (\w+)(?:\.(\w+))?)?`")


def section(title):
    [found] = re.findall(
        rf"^## {title}\n(.*?)(?=^## |\Z)", ARCHITECTURE, re.DOTALL | re.MULTILINE
    )
    return found


def block(title):
    [found] = re.findall(r"^```\n(.*?)^```", section(title), re.DOTALL | re.MULTILINE)
    return found.splitlines()


def tree():
    """Each file of the tree with its phrase; a folder stands for its __init__.py."""
    folders, found = [], []
    for line in block("Every file"):
        indent, name, phrase = re.fullmatch(r"( *)(\S+) +(.+)", line).groups()
        folders = folders[: len(indent) // 2]
        if name.endswith("/"):
            folders.append(name)
            name = "__init__.py"
        found.append(("".join([*folders, name]), phrase))
    return found


def frames():
    """The calls from a worker's main to the SQL of a claim, as (file, function)."""
    return re.findall(
        r"^\| \d+ \| `(\S+)` \| `(\w+)` \|", section("A trial's way"), re.MULTILINE
    )


def where(name):
    """A file as the documents name it: below lrsearch/, else below the root."""
    return next(
        (each / name for each in (PACKAGE, ROOT) if (each / name).is_file()), None
    )


@cache
def names_of(path):
    """What a module has: its functions, classes and tables, and its classes' methods and fields."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inner = getattr(node, "body", ()) if isinstance(node, ast.ClassDef) else ()
        for name in bound(node):
            found[name] = {each for part in inner for each in bound(part)}
    return found


def bound(node):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [getattr(node, "target", None)]
    )
    return [each.id for each in targets if isinstance(each, ast.Name)]


def test_the_layers_are_those_of_import_linter():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [layers] = [
        each["layers"]
        for each in told["tool"]["importlinter"]["contracts"]
        if each["type"] == "layers"
    ]
    drawn = [re.split(r" {2,}", line)[0] for line in block("Layers")]
    assert drawn == [each.replace("lrsearch.", "") for each in layers]


def test_the_tree_names_every_file_once_and_none_that_is_not_there():
    told = [name.removeprefix("lrsearch/") for name, _ in tree()]
    there = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    assert sorted(told) == sorted(there)


def test_a_phrase_of_the_tree_is_short():
    assert all(1 <= len(phrase.split()) <= 16 for _, phrase in tree())
    assert max(map(len, block("Every file"))) <= 100


def test_at_most_fourteen_calls_lead_from_a_workers_main_to_the_sql_of_a_claim():
    listed = frames()
    assert 0 < len(listed) <= 14
    for file, function in listed:
        names = names_of(PACKAGE / file)
        assert function in names or any(
            function in inner for inner in names.values()
        ), function


def test_each_of_the_ten_questions_is_answered_by_files_and_functions():
    questions = re.split(
        r"^\*\*(?=.*\?\*\*)", section("Ten questions"), flags=re.MULTILINE
    )[1:]
    assert len(questions) == 10
    for each in questions:
        assert any(name for _, name, _ in FILE.findall(each)), each


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_each_file_and_each_function_that_a_page_names_is_there(page):
    for file, name, member in FILE.findall(page.read_text(encoding="utf-8")):
        path = where(file)
        # the reader's own file: my_study.py, or one that is to be written
        if path is None and ("/" not in file or "NAME" in file):
            continue
        assert path, f"{page.name} names {file}"
        if name:
            assert name in names_of(path), f"{page.name} names {file}: {name}"
            assert not member or member in names_of(path)[name], (
                f"{file}: {name}.{member}"
            )


def test_each_class_that_the_glossary_names_is_there():
    told = re.findall(
        r"`([A-Z]\w+)`", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    )
    there = {name for path in PACKAGE.rglob("*.py") for name in names_of(path)}
    assert told
    assert set(told) <= there, set(told) - there
