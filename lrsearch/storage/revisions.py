"""The versions of tables that a folder of Alembic's migrations has, read without Alembic.

Alembic takes a quarter of a second to import. Only making or migrating tables needs
Alembic.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_NAMES = ("revision", "down_revision")


@dataclass(frozen=True, kw_only=True, slots=True)
class Revisions:
    """The newest version, and all of them."""

    newest: str
    known: frozenset[str]


@cache
def read_revisions(folder: Path) -> Revisions:
    """Read the versions of the migrations in `folder`/versions; the newest one has no successor."""
    before = dict(
        _read_revision(path) for path in (folder / "versions").glob("[!_]*.py")
    )
    [newest] = before.keys() - set(before.values())
    return Revisions(newest=str(newest), known=frozenset(map(str, before)))


def _read_revision(path: Path) -> tuple[str | None, str | None]:
    """A migration's own version and the one before it."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name in _NAMES:
            found[name] = ast.literal_eval(value)
    return found["revision"], found["down_revision"]
