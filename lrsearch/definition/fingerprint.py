"""What makes two definitions the same: fields and code, as canonical JSON, so that a difference can be named."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrsearch.definition.loading import MODULE
from lrsearch.definition.study import StudyDefinition
from lrsearch.values import Json

_FIELDS = (
    "objective",
    "direction",
    "objective_epoch",
    "epochs",
    "steps_per_epoch",
    "validation_steps",
    "shuffle",
    "gradient_accumulation_steps",
)


def fingerprint_of(definition: StudyDefinition) -> dict[str, Json]:
    """The definition's fields and its code, by name. Comments, docstrings and layout do not count; `seed` is the search's own."""
    found: dict[str, Json] = {name: getattr(definition, name) for name in _FIELDS}
    found["class_weight"] = {str(key): float(value) for key, value in (definition.class_weight or {}).items()} or None
    space = definition.effective_space().to_json()
    found |= {f"space.{name}": canonical(value) for name, value in space.items()}
    found["code"] = code_digest(definition)
    return found


def canonical(value: Any) -> Json:
    """`value` as JSON would return it."""
    if isinstance(value, dict):
        return {str(key): canonical(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(each) for each in value]
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def code_digest(definition: StudyDefinition) -> str:
    """A digest of the code behind `build_model`, `load_data` and `callbacks`: their files, and the modules beside them."""
    files = sorted(set(_files(definition)))
    parts = [bare_code(path.read_text(encoding="utf-8")) for path in files] or [_source(each) for each in _functions(definition)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def bare_code(source: str) -> str:
    """The code without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _functions(definition: StudyDefinition) -> list[Any]:
    return [each for each in (definition.build_model, definition.load_data, definition.callbacks) if each is not None]


def _files(definition: StudyDefinition) -> Iterator[Path]:
    """The study file, and the modules that it imported from its own folder. Empty for a notebook."""
    module = sys.modules.get(MODULE)
    if module is None or getattr(definition.build_model, "__module__", None) != MODULE or module.__file__ is None:
        return
    home = Path(module.__file__).resolve()
    yield home
    for other in list(sys.modules.values()):
        file = getattr(other, "__file__", None)
        if file and file.endswith(".py") and Path(file).resolve().is_relative_to(home.parent) and _beside(module, other):
            yield Path(file).resolve()


def _beside(module: Any, other: Any) -> bool:
    """Whether the study file's code names `other`, or something that it defines."""
    return any(value is other or getattr(value, "__module__", None) == other.__name__ for value in vars(module).values())


def _source(function: Any) -> str:
    try:
        return bare_code(inspect.cleandoc("\n" + inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, IndentationError):  # typed at a prompt: its bytecode tells as much
        return repr(getattr(getattr(function, "__code__", None), "co_code", repr(type(function))))
