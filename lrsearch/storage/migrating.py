"""Runs the missing migrations of our tables, by Alembic.

Imported only where tables are made or migrated: see `revisions`.
"""

from __future__ import annotations

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def run_migrations(connection: Connection, folder: Path, version_table: str) -> None:
    """Bring the tables to the newest version of the migrations in `folder`."""
    scripts = ScriptDirectory(str(folder))

    def steps(revision: str, _context: MigrationContext) -> list[RevisionStep]:
        return scripts._upgrade_revs("head", revision)  # noqa: SLF001 - as alembic does

    options = {"version_table": version_table, "fn": steps}
    context = MigrationContext.configure(connection, opts=options)
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        context.run_migrations()
