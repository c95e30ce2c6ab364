"""Our tables' versions: made on an empty database, checked on every opening, migrated only when
asked to.

Alembic's own version table is `lrsearch_alembic_version`; Optuna's tables have theirs, which is
only looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import URL, ColumnElement, Connection, exc, inspect, text

from lrsearch.errors import SchemaMismatch, StorageProblem
from lrsearch.storage.connections import explain_refusal, where
from lrsearch.storage.database import PATIENCE_SECONDS, Database, retry_races
from lrsearch.storage.ledger import Ledger
from lrsearch.storage.optuna_studies import check_version
from lrsearch.storage.tables import metadata
from lrsearch.storage.transaction import Transaction
from lrsearch.storage.url import check_file, is_sqlite, parse

VERSION_TABLE = "lrsearch_alembic_version"
# a server that is starting is waited for; one that is not there is said soon
OPENING_SECONDS = 30.0
_LOCK = 5_377_121  # any number that nobody else locks
_LOCK_NAME = f"lrsearch-{_LOCK}"
_COMMITS_EACH = frozenset({"mysql", "mariadb"})  # statements that change tables


def open_ledger(
    url: str,
    *,
    create: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
    failpoint: Callable[[str], object] | None = None,
    clock: ColumnElement[float] | None = None,
) -> Ledger:
    """The ledger in the database at `url`, a resolved URL; with `create`, its tables are made where
    there are none.

    `failpoint` and `clock` are for drills: a hook around each commit (see `Database`), and an SQL
    expression in place of the database's clock. Raises StorageProblem (not there, no database,
    read-only, unreachable), SchemaMismatch (another version's tables).
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        check_file(parsed, create=create)
    database = Database(
        _text(parsed), patience_seconds=patience_seconds, clock=clock, failpoint=failpoint
    )
    try:
        _check(database, create=create)
    except BaseException:
        database.close()
        raise
    return Ledger(database)


def check_storage(url: str) -> bool:
    """Raise StorageProblem or SchemaMismatch where a study could not be stored at `url`; makes
    nothing there.

    Returns whether our tables are there.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        check_file(parsed, create=True)
        if not Path(parsed.database or "").exists():
            return False
    database = Database(_text(parsed), patience_seconds=OPENING_SECONDS)
    try:
        if _version(database) is None:
            return False
        _check(database, create=False)
        return True
    finally:
        database.close()


def migrate_database(url: str) -> tuple[str, str]:
    """Bring our tables to this version; returns the versions before and after.

    Makes none in a database that has none. Raises StorageProblem, SchemaMismatch.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        check_file(parsed, create=False)
    database = Database(_text(parsed), patience_seconds=OPENING_SECONDS)
    try:
        before = _version(database)
        if before is None or before not in _known():
            _check(database, create=False)  # raises
        _upgrade(database)
        return str(before), head()
    finally:
        database.close()


def head() -> str:
    """The version that this lrsearch reads and writes."""
    return str(_scripts().get_current_head())


def _check(database: Database, *, create: bool) -> None:
    version, newest = _version(database), head()
    if version is None:
        if not create:
            raise StorageProblem(
                f"{where(database.url)} holds no studies of lrsearch.",
                fix="Start one: lrsearch start-study FILE",
            )
        _upgrade(database)
    elif version != newest and _await_version(database, version) != newest:
        old = "Stop every worker, then: lrsearch migrate"
        fix = old if version in _known() else "Install the newer lrsearch that made them."
        found = f"the tables in {where(database.url)} are of version {version}"
        raise SchemaMismatch(f"{found}, this lrsearch reads {newest}.", fix=fix)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@cache
def _scripts() -> ScriptDirectory:
    """The migrations; read once, since alembic imports each of them."""
    return ScriptDirectory(str(Path(__file__).with_name("migrations")))


def _known() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}


def _version(database: Database) -> str | None:
    def read(tx: Transaction) -> str | None:
        check_version(tx.connection)
        return _found(tx.connection)

    return database.transact(read, reads=True, patience_seconds=OPENING_SECONDS)


def _found(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(
        text(f"select version_num from {VERSION_TABLE}")  # noqa: S608 - a constant
    ).scalar_one_or_none()
    return None if found is None else str(found)


def _await_version(database: Database, version: str) -> str | None:
    """`version`, or what another process is making of it: MariaDB commits each migration by itself,
    and others see it.
    """
    if database.engine.dialect.name not in _COMMITS_EACH:
        return version
    try:
        with database.engine.begin() as connection, _queue(connection):
            return _found(connection)
    except exc.DBAPIError as error:
        raise explain_refusal(database.url, error) from error


def _upgrade(database: Database) -> None:
    """Run what is missing.

    Any number of processes may try at once: they queue, and those that come later find it done.
    """
    try:
        for attempt in retry_races(exc.DBAPIError):
            with attempt, database.engine.begin() as connection, _queue(connection):
                _run_migrations(connection)
    except exc.DBAPIError as error:
        raise explain_refusal(database.url, error) from error


@contextmanager
def _queue(connection: Connection) -> Iterator[None]:
    """One at a time: SQLite's transaction is a lock already, PostgreSQL's lock ends with it,
    MySQL's is the session's.
    """
    kind = connection.dialect.name
    if kind == "postgresql":
        connection.execute(text(f"select pg_advisory_xact_lock({_LOCK})"))
    if kind not in _COMMITS_EACH:
        yield
        return
    connection.execute(text(f"select get_lock('{_LOCK_NAME}', 60)"))
    try:
        if not inspect(connection).has_table("studies"):
            _widen_alphabet(connection)
        if _found(connection) is None:
            # Its DDL commits by itself: a version that was never noted down means that a crash left
            # some of the tables, empty.
            metadata.drop_all(connection)
        yield
    finally:
        connection.execute(text(f"select release_lock('{_LOCK_NAME}')"))


def _widen_alphabet(connection: Connection) -> None:
    """Let the tables that Optuna will make take every name: MariaDB's own default is latin1. Needs
    a right that not all have.
    """
    name = str(connection.engine.url.database).replace("`", "``")
    with suppress(exc.DBAPIError):
        connection.execute(
            text(f"alter database `{name}` character set utf8mb4 collate utf8mb4_bin")
        )


def _run_migrations(connection: Connection) -> None:
    scripts = _scripts()

    def steps(revision: str, _context: MigrationContext) -> list[RevisionStep]:
        return scripts._upgrade_revs("head", revision)  # noqa: SLF001 - as alembic does

    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "fn": steps}
    )
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        context.run_migrations()
