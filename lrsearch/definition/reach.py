"""Which statements of a study's files a function needs, directly and through other statements.

The analysis is static, and errs towards too much. A name that is read anywhere inside a
statement counts as needed. All of a module counts where the module is imported as a
whole. Where code looks names up while it runs (`globals`, `exec`, ...), the program is
`dynamic` and everything counts.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from lrsearch.definition.sources import Sources, imported_files, module_files, origin_of
from lrsearch.definition.syntax import without_docstring

Place: TypeAlias = tuple[Path, int]  # a statement at the top of a file

_DYNAMIC = frozenset(
    {
        "globals",
        "exec",
        "eval",
        "__import__",
        "importlib",
        "sys.modules",
        "__init_subclass__",
    }
)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)


class Program:
    """A study's files as statements; an import of several names is split into several imports."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.files = {
            path: list(_split(without_docstring(tree.body)))
            for path, tree in sources.trees().items()
        }
        self._definers = {
            path: _definers(statements) for path, statements in self.files.items()
        }

    @property
    def home(self) -> list[ast.stmt]:
        """The study file's own statements."""
        return self.files[self._sources.home]

    @property
    def dynamic(self) -> bool:
        """Whether the code looks up or makes names while it runs."""
        nodes = (
            node
            for statements in self.files.values()
            for each in statements
            for node in ast.walk(each)
        )
        return any(_DYNAMIC & set(_words(node)) for node in nodes)

    def everything(self) -> set[Place]:
        return {
            (path, index)
            for path, statements in self.files.items()
            for index in range(len(statements))
        }

    def statement(self, place: Place) -> ast.stmt:
        return self.files[place[0]][place[1]]

    def find_needed(
        self, nodes: Iterable[ast.AST], path: Path | None = None
    ) -> set[Place]:
        """The statements that `nodes` need; `path` is their file, by default the study file."""
        found: set[Place] = set()
        waiting = [
            place
            for node in nodes
            for place in self._needs(node, path or self._sources.home)
        ]
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += self._needs(self.statement(place), place[0])
        return found

    def _needs(self, node: ast.AST, path: Path) -> Iterator[Place]:
        """The statements that a node needs directly."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                yield from self._of_name(path, each.id)
            elif isinstance(each, ast.Import):
                yield from self._whole(imported_files(each, path, self._sources.root))
            elif isinstance(each, ast.ImportFrom):
                yield from self._of_import(each, path)

    def _of_name(self, path: Path, name: str) -> list[Place]:
        known = self._definers[path]
        return [(path, index) for index in known.get(name, known.get("*", ()))]

    def _of_import(self, node: ast.ImportFrom, path: Path) -> Iterator[Place]:
        base, parts = origin_of(node, path, self._sources.root)
        own = list(module_files(base, parts))[-1:] if parts else [base / "__init__.py"]
        for alias in node.names:
            named = [
                place
                for file in own
                if file in self.files
                for place in self._of_name(file, alias.name)
            ]
            inner = [
                file
                for file in module_files(base, [*parts, alias.name])
                if file not in own
            ]
            yield from named or self._whole(inner[-1:] or own)

    def _whole(self, files: Iterable[Path]) -> Iterator[Place]:
        for file in files:
            yield from ((file, index) for index in range(len(self.files.get(file, ()))))


def acts(statement: ast.stmt, sources: Sources, path: Path) -> bool:
    """Whether a statement may have an effect though nobody reads its names.

    Calls, decorators and imports of foreign modules may.
    """
    if isinstance(statement, _DEFINITIONS):
        return bool(
            statement.decorator_list
            or (isinstance(statement, ast.ClassDef) and statement.keywords)
        )
    if isinstance(statement, _IMPORTS):
        return (
            not imported_files(statement, path, sources.root)
            and _package(statement) not in sys.stdlib_module_names
        )
    if isinstance(statement, ast.Pass) or _is_main_guard(statement):
        return False
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = (
            statement.targets
            if isinstance(statement, ast.Assign)
            else [statement.target]
        )
        return not all(map(_is_plain, targets)) or any(
            isinstance(each, ast.Call) for each in ast.walk(statement)
        )
    return True


def _split(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for each in body:
        if isinstance(each, ast.Import):
            yield from (ast.Import(names=[alias]) for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            yield from (
                ast.ImportFrom(module=each.module, names=[alias], level=each.level)
                for alias in each.names
            )
        else:
            yield each


def _definers(statements: list[ast.stmt]) -> dict[str, list[int]]:
    """The statements that bind each name; under "*", those that may bind any name."""
    found: dict[str, list[int]] = {}
    for index, each in enumerate(statements):
        for name in _bound(each):
            found.setdefault(name, []).append(index)
    return found


def _bound(statement: ast.stmt) -> set[str]:
    # a function that says `global NAME` may bind it
    if isinstance(statement, _DEFINITIONS):
        declared = (
            each.names for each in ast.walk(statement) if isinstance(each, ast.Global)
        )
        return {statement.name}.union(*declared)
    found: set[str] = set()
    for each in ast.walk(statement):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found.add(each.id)
        elif isinstance(each, _DEFINITIONS):
            found.add(each.name)
        elif isinstance(each, _IMPORTS):
            found |= {alias.asname or alias.name.split(".")[0] for alias in each.names}
    return found


def _words(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield f"{node.value.id}.{node.attr}"
    elif isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, _IMPORTS):
        yield from (alias.name.split(".")[0] for alias in node.names)


def _package(statement: ast.Import | ast.ImportFrom) -> str:
    name = (
        statement.names[0].name
        if isinstance(statement, ast.Import)
        else statement.module or ""
    )
    return name.split(".")[0]


def _is_plain(target: ast.expr) -> bool:
    """Whether an assignment to the target only binds names."""
    inner = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    return all(isinstance(each, ast.Name) for each in inner)


def _is_main_guard(statement: ast.stmt) -> bool:
    """`if __name__ == "__main__":`, which is false in a study file."""
    if (
        not isinstance(statement, ast.If)
        or statement.orelse
        or not isinstance(statement.test, ast.Compare)
    ):
        return False
    words = {
        ast.unparse(statement.test.left),
        *map(ast.unparse, statement.test.comparators),
    }
    return words == {"__name__", "'__main__'"} and isinstance(
        statement.test.ops[0], ast.Eq
    )
