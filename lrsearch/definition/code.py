"""The code behind a definition as digests, one per purpose, so that a change can be named.

code.model      build_model and what it needs
code.data       load_data and what it needs
code.training   loss and metrics, and what they need
code.callbacks  callbacks, and what they alone need
code.file       what runs when the files load and none of these needs, save perhaps callbacks

The `definition = ...` statement itself is left out, since its fields are compared by
value. Modules beside the file count like the file. Code that nobody needs and that has
no effect counts nowhere.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from lrsearch.definition.functions import value_text
from lrsearch.definition.reach import Place, Program, acts
from lrsearch.definition.sources import Sources
from lrsearch.definition.study import StudyDefinition
from lrsearch.definition.syntax import dump

# The fields of StudyDefinition by part. Without the first two, a definition takes the
# functions of these names from its file.
PARTS: Mapping[str, tuple[str, ...]] = {
    "code.model": ("build_model",),
    "code.data": ("load_data",),
    "code.training": ("loss", "metrics"),
    "code.callbacks": ("callbacks",),
}
CALLBACKS, FILE = "code.callbacks", "code.file"
_FUNCTIONS = ("build_model", "load_data")


def code_parts(definition: StudyDefinition) -> dict[str, str]:
    """The digests of a definition's code, by part.

    Code that differs only in comments, docstrings and layout has equal digests, under
    every version of Python.
    """
    if definition.sources is not None:
        return file_parts(definition.sources)
    return {
        part: _digest(value_text(getattr(definition, name)) for name in names)
        for part, names in PARTS.items()
    }


def file_parts(sources: Sources) -> dict[str, str]:
    """The digests of a study file.

    There is only `code.file` where the definition is no plain call of StudyDefinition.
    """
    program = Program(sources)
    fields = _fields(program)
    if fields is None or program.dynamic:
        return {FILE: _digest_places(program, sources, program.everything())}
    roots = {
        part: [fields[name] for name in names if name in fields]
        for part, names in PARTS.items()
    }
    places = {part: program.find_needed(nodes) for part, nodes in roots.items()}
    results = set().union(
        *(found for part, found in places.items() if part != CALLBACKS)
    )
    active = {place for place in program.everything() if _acts(program, sources, place)}
    active -= results | places[CALLBACKS]
    places[CALLBACKS] -= results
    needed = (
        program.find_needed([program.statement(each)], each[0]) for each in active
    )
    places[FILE] = active.union(*needed) - results
    return {
        part: _digest_places(
            program, sources, found, before=[dump(each) for each in roots.get(part, ())]
        )
        for part, found in places.items()
    }


def _fields(program: Program) -> dict[str, ast.expr] | None:
    """The definition's expressions by field; None where it is not one plain call."""
    found = [each for each in program.home if _is_definition(each)]
    stored = [
        node
        for each in program.home
        for node in ast.walk(each)
        if _binds_definition(node)
    ]
    if len(found) != 1 or len(stored) != 1:
        return None
    call = found[0].value  # type: ignore[attr-defined]  # an assignment
    named = (
        ast.unparse(call.func).rpartition(".")[2] if isinstance(call, ast.Call) else ""
    )
    if (
        named != "StudyDefinition"
        or call.args
        or any(each.arg is None for each in call.keywords)
    ):
        return None
    given = {each.arg: each.value for each in call.keywords}
    return {name: ast.Name(name, ast.Load()) for name in _FUNCTIONS} | given


def _is_definition(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.AnnAssign):
        return _binds_definition(statement.target)
    return isinstance(statement, ast.Assign) and any(
        map(_binds_definition, statement.targets)
    )


def _binds_definition(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Name)
        and node.id == "definition"
        and isinstance(node.ctx, ast.Store)
    )


def _acts(program: Program, sources: Sources, place: Place) -> bool:
    statement = program.statement(place)
    if place[0] == sources.home and _is_definition(statement):
        return False
    return acts(statement, sources, place[0])


def _digest_places(
    program: Program,
    sources: Sources,
    places: Iterable[Place],
    *,
    before: Iterable[str] = (),
) -> str:
    """The digest of statements in the order of their files and lines.

    The study file's own name does not count.
    """
    order = {path: number for number, path in enumerate(program.files)}
    chosen = sorted(places, key=lambda place: (order[place[0]], place[1]))
    texts = (
        f"{_path_text(path, sources)} {dump(program.files[path][index])}"
        for path, index in chosen
    )
    return _digest([*before, *texts])


def _path_text(path: Path, sources: Sources) -> str:
    if path == sources.home:
        return ""
    inside = path.is_relative_to(sources.root)
    return path.relative_to(sources.root).as_posix() if inside else path.name


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
