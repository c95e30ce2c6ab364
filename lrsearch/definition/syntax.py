"""Python source as a text of its meaning, the same under every version of Python.

`ast.dump` is not: 3.12 added fields to functions and classes, and 3.13 leaves empty
ones out. Knows nothing of studies, and imports only the standard library, so that tests
can run any interpreter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

# These fields add no meaning: a name's context follows from its place, and u"" is "".
_IDLE = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
WITH_DOCSTRING = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def dump(node: ast.AST | Iterable[ast.AST]) -> str:
    """The code without comments, docstrings and layout."""
    return _text(node if isinstance(node, ast.AST) else list(node))


def _text(value: Any) -> str:
    if isinstance(value, ast.JoinedStr):
        return f"JoinedStr({','.join(map(_text, _pieces(value)))})"
    if isinstance(value, ast.AST):
        return f"{type(value).__name__}({','.join(_fields(value))})"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return ascii(value)  # what `repr` shows as it is differs with the version's Unicode


def _fields(node: ast.AST) -> Iterator[str]:
    """A node's fields by name, without empty ones, which an older Python may not have."""
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        if name == "body" and isinstance(node, WITH_DOCSTRING):
            value = without_docstring(node.body)
        # None is a constant's value; elsewhere None and [] mean that the field is
        # empty.
        if name not in _IDLE and (
            isinstance(node, ast.Constant) or (value is not None and value != [])
        ):
            yield f"{name}={_text(value)}"


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements after the docstring, where there is one."""
    first = body[0] if body else None
    documented = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return body[1:] if documented else body


def _pieces(joined: ast.JoinedStr) -> list[ast.AST]:
    """An f-string's pieces, neighbouring texts as one: versions cut them at different places."""
    found: list[ast.AST] = []
    for each in joined.values:
        text = each.value if isinstance(each, ast.Constant) else None
        last = found[-1] if found else None
        if isinstance(text, str) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(str(last.value) + text)
        elif text != "":
            found.append(each)
    return found
