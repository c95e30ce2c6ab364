"""The code digest of version 0.1.0, by which its studies are recognised.

Do not improve this module: stored digests must stay equal. Version 0.1.0 took code as
one piece, callbacks included, and wrote it by `ast.dump`, whose text differs between
minor versions of Python. It recognised a study file by the module of `build_model`. So
modules beside the file did not count where `build_model` came from one of them.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from typing import Any

from lrsearch.definition.functions import config_text
from lrsearch.definition.sources import Sources
from lrsearch.definition.study import StudyDefinition
from lrsearch.definition.syntax import WITH_DOCSTRING, without_docstring

FIELD = "code"  # its name in a fingerprint of 0.1.0
MODULE = "lrsearch_study_file"  # the module that a study file is loaded as
_CODE_FIELDS = ("loss", "metrics", "callbacks", "build_model", "load_data")


def code_digest(definition: StudyDefinition) -> str | None:
    """The digest, equal for code that differs in comments, docstrings and layout only.

    It depends on the minor version of Python. None where 0.1.0 could not read the code,
    and so could not have made a study of it.
    """
    try:
        return _digest(definition)
    except SyntaxError:
        return None


def _digest(definition: StudyDefinition) -> str:
    sources = definition.sources
    if (
        sources is not None
        and getattr(definition.build_model, "__module__", None) == MODULE
    ):
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
            arguments = (
                statement.value.keywords
                if isinstance(statement.value, ast.Call)
                else []
            )
            kept += [
                ast.Expr(each.value) for each in arguments if each.arg in _CODE_FIELDS
            ]
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
        if isinstance(node, WITH_DOCSTRING) and node.body:
            node.body = without_docstring(node.body) or [ast.Pass()]
    return ast.dump(tree)


def _source(value: Any) -> str:
    if value is None or isinstance(value, str | int | float | bool):
        return repr(value)
    if isinstance(value, list | tuple):
        return repr([_source(each) for each in value])
    if isinstance(value, dict):
        return repr({key: _source(each) for key, each in value.items()})
    if hasattr(value, "get_config"):
        return config_text(value)
    return _function_source(value)


def _function_source(function: Any) -> str:
    try:
        return _bare_code(inspect.cleandoc("\n" + inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        code = getattr(function, "__code__", None)
        if code is None:
            return type(function).__qualname__
        return repr((code.co_code, code.co_consts, code.co_names))
