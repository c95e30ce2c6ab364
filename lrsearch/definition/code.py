"""The code behind a definition, as a digest: the study file without its comments and layout, and the modules beside it.

The `definition = ...` statement itself is left out, since its fields are compared by name; what it says of loss, metrics and
callbacks is code, and stays in.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrsearch.definition.loading import MODULE
from lrsearch.definition.study import StudyDefinition
from lrsearch.values import Json

_CODE_FIELDS = ("loss", "metrics", "callbacks", "build_model", "load_data")


def code_digest(definition: StudyDefinition) -> str:
    """Equal for code that differs in comments, docstrings and layout only."""
    home = study_file_of(definition)
    parts = _file_parts(home) if home is not None else [_source(getattr(definition, name)) for name in _CODE_FIELDS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def study_file_of(definition: StudyDefinition) -> Path | None:
    """The file that a definition was loaded from; None for a notebook's."""
    module = sys.modules.get(MODULE)
    if module is None or module.__file__ is None or getattr(definition.build_model, "__module__", None) != MODULE:
        return None
    return Path(module.__file__).resolve()


def _file_parts(home: Path) -> list[str]:
    own = study_code(home.read_text(encoding="utf-8"))
    return [own, *(bare_code(path.read_text(encoding="utf-8")) for path in modules_beside(home))]


def study_code(source: str) -> str:
    """A study file's code, of its definition only what is code itself."""
    tree = ast.parse(source)
    kept: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and any(_is_definition(each) for each in statement.targets):
            arguments = statement.value.keywords if isinstance(statement.value, ast.Call) else []
            kept += [ast.Expr(each.value) for each in arguments if each.arg in _CODE_FIELDS]
        else:
            kept.append(statement)
    tree.body = kept
    return _dumped(tree)


def _is_definition(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "definition"


def bare_code(source: str) -> str:
    """The code without comments, docstrings and layout."""
    return _dumped(ast.parse(source))


def _dumped(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _has_docstring(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def modules_beside(home: Path) -> list[Path]:
    """The modules in the study file's folder that it imports, and those that they import, in a fixed order."""
    found: dict[Path, None] = {}
    waiting = [home]
    while waiting:
        path = waiting.pop()
        for each in _imported(path, home.parent):
            if each not in found and each != home:
                found[each] = None
                waiting.append(each)
    return sorted(found)


def _imported(path: Path, root: Path) -> Iterator[Path]:
    """Files below `root` that `path` imports, whether they are plain modules or packages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module_files(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = root if not node.level else path.parents[node.level - 1]
            parts = node.module.split(".") if node.module else []
            yield from _module_files(base, parts)
            for alias in node.names:
                yield from _module_files(base, [*parts, alias.name])


def _module_files(base: Path, parts: list[str]) -> Iterator[Path]:
    """The module's own file, and its packages' __init__ files on the way."""
    for depth in range(1, len(parts) + 1):
        place = base.joinpath(*parts[:depth])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file.resolve()


def _source(value: Any) -> str:
    """What a value of a notebook's definition is: a function's source, a Keras object's configuration, else itself."""
    if value is None or isinstance(value, str | int | float | bool):
        return repr(value)
    if isinstance(value, list | tuple):
        return repr([_source(each) for each in value])
    if isinstance(value, dict):
        return repr({key: _source(each) for key, each in value.items()})
    if hasattr(value, "get_config"):
        return f"{type(value).__name__} {json.dumps(_plain(value.get_config()), sort_keys=True)}"
    return _function_source(value)


def _plain(value: Any) -> Json:
    return json.loads(json.dumps(value, default=lambda each: type(each).__name__))


def _function_source(function: Any) -> str:
    try:
        return bare_code(inspect.cleandoc("\n" + inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or a lambda within a call: its bytecode tells as much
        code = getattr(function, "__code__", None)
        return repr((code.co_code, code.co_consts, code.co_names)) if code else type(function).__qualname__
