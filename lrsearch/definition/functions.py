"""The code of a notebook's functions, and of the functions and plain values that they need."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from lrsearch.definition.syntax import dump

_PLAIN = str | int | float | bool | bytes | None


def value_text(value: Any, seen: frozenset[int] = frozenset()) -> str:
    """Write a function's code, a Keras object's configuration, or the value itself."""
    if isinstance(value, _PLAIN):
        return ascii(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(value_text(each, seen) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key!a}:{value_text(each, seen)}' for key, each in value.items())}}}"
    if hasattr(value, "get_config") and not isinstance(value, type):
        return config_text(value)
    return _code_text(value, seen)


def config_text(value: Any) -> str:
    """Write a Keras object's class and configuration.

    Values that JSON does not know are written as the names of their classes.
    """
    config = json.dumps(value.get_config(), default=lambda each: type(each).__name__)
    return f"{type(value).__name__} {json.dumps(json.loads(config), sort_keys=True)}"


def _code_text(value: Any, seen: frozenset[int]) -> str:
    """Write the code of a function or class, and all that the code needs of its own module."""
    if id(value) in seen:
        return ""
    inner = seen | {id(value)}
    tree = _tree(value)
    own = dump(tree) if tree is not None else _compiled_text(value)
    nodes = ast.walk(tree) if tree is not None else ()
    assigned = {
        name for node in nodes if isinstance(node, ast.Global) for name in node.names
    }
    needed = [
        f"{name}={value_text(each, inner)}"
        for name, each in _find_needs(value)
        if name not in assigned
    ]
    return " ".join([own, *needed])


def _tree(value: Any) -> ast.AST | None:
    """The parsed source; for a lambda within a longer statement, the lambda alone."""
    try:
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(value)))
    except (OSError, TypeError, SyntaxError):
        # typed at a prompt, or a piece of a statement
        return None
    lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return (
        lambdas[0]
        if getattr(value, "__name__", "") == "<lambda>" and len(lambdas) == 1
        else tree
    )


def _compiled_text(value: Any) -> str:
    """The bytecode, which stands for the source under this version of Python."""
    code = getattr(value, "__code__", None)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return f"{version} {_bytecode(code)}" if code else type(value).__qualname__


def _bytecode(code: CodeType) -> str:
    constants = [
        _bytecode(each) if isinstance(each, CodeType) else ascii(each)
        for each in code.co_consts
    ]
    return ascii((code.co_code, constants, code.co_names))


def _find_needs(value: Any) -> Iterator[tuple[str, Any]]:
    """What a function reads of its module and closure: plain values, functions, classes."""
    if not isinstance(value, FunctionType):
        return
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
    known = value.__globals__ | {name: _content(cell) for name, cell in cells}
    for name in sorted(_names(value.__code__) & known.keys()):
        each = known[name]
        own = (
            isinstance(each, FunctionType | type)
            and each.__module__ == value.__module__
        )
        parts = each if isinstance(each, list | tuple) else [each]
        if own or all(isinstance(part, _PLAIN) for part in parts):
            yield name, each


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _names(code: CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(code.co_freevars, *map(_names, inner))
