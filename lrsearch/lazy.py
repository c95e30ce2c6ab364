"""Names of a package, and modules of others, that are loaded on first use.

So `lrsearch --help`, a study file's import and the start of parents and workers stay
fast. Who calls says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any


def lazy_names(package: str, **names: Sequence[str]) -> Callable[[str], Any]:
    """The `__getattr__` of `package`: the names of its modules, by module."""
    homes = {name: module for module, found in names.items() for name in found}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load


def defer_modules(names: Collection[str]) -> None:
    """Let imports of these modules run their code only when a name of theirs is asked for.

    The modules must have no `__getattr__` of their own.
    """
    sys.meta_path.insert(0, _DeferringFinder(names))


class _DeferringFinder(MetaPathFinder):
    """Finds some modules as Python does, with a loader that waits."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        spec = (
            PathFinder.find_spec(fullname, path, target)
            if fullname in self._names
            else None
        )
        if spec is not None and spec.loader is not None:
            spec.loader = _WaitingLoader(spec.loader)
        return spec


class _WaitingLoader(Loader):
    """Runs a module's code when a name is asked for that is not there yet.

    `importlib.util.LazyLoader` will not do: every question wakes its modules, and
    TensorFlow asks all modules for their `__file__` when it traces a function.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        loader, lock, found, runs = self._loader, RLock(), vars(module), False

        def load(name: str) -> Any:
            nonlocal runs
            with lock:
                if not runs and found.get("__getattr__") is load:
                    runs = True
                    try:
                        loader.exec_module(module)
                        del found["__getattr__"]
                    finally:
                        runs = False
            return object.__getattribute__(module, name)

        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = loader
        found["__getattr__"] = load
