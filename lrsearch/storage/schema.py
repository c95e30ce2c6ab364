"""Our tables' versions: made on an empty database, checked on every opening, migrated only when asked to.

Alembic's own version table is `lrsearch_alembic_version`; Optuna's tables have theirs.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, exc, inspect, text

from lrsearch.errors import SchemaMismatch, StorageProblem
from lrsearch.storage.database import make_engine, patiently, problem, where
from lrsearch.storage.ledger import Ledger
from lrsearch.storage.url import check_file, is_sqlite, parse

VERSION_TABLE = "lrsearch_alembic_version"
_OPENING_SECONDS = 30.0  # a server that is starting is waited for; one that is not there is said soon
_TRIES = 8
_LOCK = 5_377_121  # any number that nobody else locks


def open_ledger(url: str, *, create: bool = False, patience_seconds: float = 600.0) -> Ledger:
    """The ledger in the database at `url`, a resolved URL; with `create`, its tables are made where there are none.

    Raises StorageProblem (not there, no database, read-only, unreachable), SchemaMismatch (another version's tables).
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        check_file(parsed, create=create)
    engine = make_engine(url, patience_seconds=patience_seconds)
    try:
        _check(engine, create=create)
    except BaseException:
        engine.dispose()
        raise
    return Ledger(engine)


def migrate_database(url: str) -> tuple[str, str]:
    """Bring our tables to this version; returns the versions before and after."""
    engine = make_engine(url)
    try:
        before = _version(engine) or "none"
        _upgrade(engine)
        return before, _version(engine) or "none"
    finally:
        engine.dispose()


def _check(engine: Engine, *, create: bool) -> None:
    version, newest = _version(engine), head()
    if version is None and not create:
        raise StorageProblem(f"{where(engine.url)} holds no studies of lrsearch. Start one: lrsearch start-study FILE")
    if version is None:
        _upgrade(engine)
    elif version != newest:
        known = {script.revision for script in _scripts().walk_revisions()}
        fix = "Stop every worker, then: lrsearch migrate" if version in known else "Install the newer lrsearch that made them."
        raise SchemaMismatch(f"the tables in {where(engine.url)} are of version {version}, this lrsearch reads {newest}. {fix}")


def head() -> str:
    """The version that this lrsearch reads and writes."""
    return str(_scripts().get_current_head())


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).with_name("migrations")))


def _version(engine: Engine) -> str | None:
    def read(connection: Connection) -> str | None:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608 - a constant
        return None if found is None else str(found)

    return patiently(engine, read, patience_seconds=_OPENING_SECONDS)


def _upgrade(engine: Engine) -> None:
    """Run what is missing. Any number of processes may try at once: they queue where the database can, else all but one try again."""
    for attempt in range(1, _TRIES + 1):
        try:
            with engine.begin() as connection:
                _locked(connection)
                _run_migrations(connection)
            return
        except exc.DBAPIError as error:
            if attempt == _TRIES:
                raise problem(engine.url, error) from error
            time.sleep(random.uniform(0.05, 0.3) * attempt)  # noqa: S311 - not for secrets


def _locked(connection: Connection) -> None:
    """Queue here; SQLite's transaction is a lock already. MySQL's DDL commits by itself, so its lock is a session's."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"select pg_advisory_xact_lock({_LOCK})"))
    elif connection.dialect.name == "mysql":
        connection.execute(text(f"select get_lock('lrsearch-{_LOCK}', 60)"))


def _run_migrations(connection: Connection) -> None:
    scripts = _scripts()
    context = MigrationContext.configure(
        connection,
        opts={"version_table": VERSION_TABLE, "fn": lambda revision, _context: scripts._upgrade_revs("head", revision)},  # noqa: SLF001
    )
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        context.run_migrations()
    if connection.dialect.name == "mysql":
        connection.execute(text(f"select release_lock('lrsearch-{_LOCK}')"))
