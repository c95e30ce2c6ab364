"""The texts of a study file and the modules beside it, at the time when the file was loaded.

A later edit makes another definition.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Sources:
    """The texts of the study file and its modules, by resolved path."""

    home: Path
    texts: Mapping[Path, str]

    @property
    def root(self) -> Path:
        """The folder whose modules count."""
        return self.home.parent

    def trees(self) -> dict[Path, ast.Module]:
        """The files parsed, the study file first, then by path."""
        order = sorted(self.texts, key=lambda path: (path != self.home, path))
        return {path: _parse(self.texts[path]) for path in order}


def read_sources(path: Path) -> Sources:
    """Read the study file and all modules of its folder that it imports, directly or not."""
    home = path.resolve()
    texts: dict[Path, str] = {}
    waiting = [home]
    while waiting:
        each = waiting.pop()
        if each in texts:
            continue
        texts[each] = _text(each)
        for node in ast.walk(_parse(texts[each])):
            if isinstance(node, ast.Import | ast.ImportFrom):
                waiting += imported_files(node, each, home.parent)
    return Sources(home=home, texts=texts)


def _text(path: Path) -> str:
    """Read the text in the encoding that the file names; byte by byte where that fails."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, ValueError):
        return path.read_bytes().decode("latin-1")
    except OSError:  # the import itself will raise
        return ""


def _parse(text: str) -> ast.Module:
    """Parse a text; a text that this Python cannot parse becomes a constant.

    The import of such a module may stand in a `try`.
    """
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.parse(f"{{'text': {text!a}}}")


def imported_files(
    node: ast.Import | ast.ImportFrom, path: Path, root: Path
) -> list[Path]:
    """Files below `root` that an import in `path` loads: plain modules and packages."""
    if isinstance(node, ast.Import):
        return [
            file
            for alias in node.names
            for file in module_files(root, alias.name.split("."))
        ]
    base, parts = origin_of(node, path, root)
    found = list(module_files(base, parts))
    for alias in node.names:
        found += module_files(base, [*parts, alias.name])
    return found


def origin_of(node: ast.ImportFrom, path: Path, root: Path) -> tuple[Path, list[str]]:
    """The folder where the module of a `from ... import` is looked for, and its dotted parts."""
    base = root if not node.level else path.parents[node.level - 1]
    return base, node.module.split(".") if node.module else []


def module_files(base: Path, parts: list[str]) -> Iterator[Path]:
    """The module's own file, and its packages' __init__ files on the way."""
    for depth in range(1, len(parts) + 1):
        place = base.joinpath(*parts[:depth])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file.resolve()
