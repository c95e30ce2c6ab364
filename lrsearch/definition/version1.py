"""The code digest of version 0.1.0, by which its studies are still told apart.

Kept as it was; not to be mended.

It took code as one piece, callbacks included, and wrote it by `ast.dump`, whose text differs
between minor versions of Python. It knew a study file by the module of `build_model`, so that
modules beside the file did not count where `build_model` came from one of them.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from typing import Any

from lrsearch.definition.functions import plain_config
from lrsearch.definition.sources import Sources
from lrsearch.definition.study import StudyDefinition

FIELD = "code"  # its name in a fingerprint of 0.1.0
MODULE = "lrsearch_study_file"  # the module that a study file is loaded as
_CODE_FIELDS = ("loss", "metrics", "callbacks", "build_model", "load_data")


def code_digest(definition: StudyDefinition) -> str | None:
    """Equal for code that differs in comments, docstrings and layout only, under one minor version
    of Python.

    None where 0.1.0 could not read the code, and so could not have made a study of it.
    """
    try:
        return _digest(definition)
    except SyntaxError:
        return None


def _digest(definition: StudyDefinition) -> str:
    sources, here = (
        definition.sources,
        getattr(definition.build_model, "__module__", None) == MODULE,
    )
    if sources is not None and here:
        parts = _file_parts(sources)
    else:
        parts = [_source(getattr(definition, name)) for name in _CODE_FIELDS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _file_parts(sources: Sources) -> list[str]:
    beside = sorted(path for path in sources.texts if path != sources.home)
    return [
        _study_code(sources.texts[sources.home]),
        *(_bare_code(sources.texts[path]) for path in beside),
    ]


def _study_code(source: str) -> str:
    tree = ast.parse(source)
    kept: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and any(
            _is_definition(each) for each in statement.targets
        ):
            arguments = statement.value.keywords if isinstance(statement.value, ast.Call) else []
            kept += [ast.Expr(each.value) for each in arguments if each.arg in _CODE_FIELDS]
        else:
            kept.append(statement)
    tree.body = kept
    return _dumped(tree)


def _is_definition(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "definition"


def _bare_code(source: str) -> str:
    return _dumped(ast.parse(source))


def _dumped(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _has_docstring(
    node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
) -> bool:
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _source(value: Any) -> str:
    if value is None or isinstance(value, str | int | float | bool):
        return repr(value)
    if isinstance(value, list | tuple):
        return repr([_source(each) for each in value])
    if isinstance(value, dict):
        return repr({key: _source(each) for key, each in value.items()})
    if hasattr(value, "get_config"):
        return (
            f"{type(value).__name__} {json.dumps(plain_config(value.get_config()), sort_keys=True)}"
        )
    return _function_source(value)


def _function_source(function: Any) -> str:
    try:
        return _bare_code(inspect.cleandoc("\n" + inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        code = getattr(function, "__code__", None)
        return (
            repr((code.co_code, code.co_consts, code.co_names))
            if code
            else type(function).__qualname__
        )
