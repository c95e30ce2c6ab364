"""Names of a package that are loaded on first use.

So `lrsearch --help`, a study file's import and a parent's start stay fast. Each package says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def lazy_names(package: str, **names: Sequence[str]) -> Callable[[str], Any]:
    """The `__getattr__` of `package`: the names of its modules, by module."""
    homes = {name: module for module, found in names.items() for name in found}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load
