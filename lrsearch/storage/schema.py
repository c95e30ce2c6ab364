"""Our tables' versions: make them, check them, migrate them.

Tables are made on an empty database, checked whenever a ledger is opened, and migrated
only on request. Alembic's version table of ours is `lrsearch_alembic_version`; Optuna's
tables have their own, which this module only checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, exc, inspect, text

from lrsearch.errors import SchemaMismatch, StorageProblem
from lrsearch.storage.connections import explain_refusal, where
from lrsearch.storage.database import PATIENCE_SECONDS, Database, retry_races
from lrsearch.storage.ledger import Ledger
from lrsearch.storage.optuna_studies import check_version
from lrsearch.storage.revisions import read_revisions
from lrsearch.storage.tables import metadata
from lrsearch.storage.transaction import Transaction
from lrsearch.storage.url import check_file, is_sqlite, parse

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "lrsearch_alembic_version"
OPENING_SECONDS = 30.0  # enough for a server to start, and little where there is none
_LOCK = 5_377_121  # any number that nobody else locks
_LOCK_NAME = f"lrsearch-{_LOCK}"
# every change of a table is its own transaction
_COMMITS_EACH = frozenset({"mysql", "mariadb"})


def open_ledger(
    url: str,
    *,
    create: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
    failpoint: Callable[[str], object] | None = None,
    clock: ColumnElement[float] | None = None,
) -> Ledger:
    """Open the ledger at `url`, a resolved URL; with `create`, make its tables where none are.

    `failpoint` and `clock` are for drills: a hook around each commit (see `Database`),
    and an SQL expression in place of the database's clock. Raises StorageProblem (not
    there, no database, read-only, unreachable), SchemaMismatch (another version's
    tables).
    """
    address = _parse(url, create=create)
    database = Database(
        address, patience_seconds=patience_seconds, clock=clock, failpoint=failpoint
    )
    try:
        _check(database, create=create)
    except BaseException:  # whatever it is, nobody else will close the connections
        database.close()
        raise
    return Ledger(database)


def check_storage(url: str) -> bool:
    """Check that a study can be stored at `url`; returns whether our tables are there.

    Makes nothing. Raises StorageProblem or SchemaMismatch.
    """
    address, parsed = _parse(url, create=True), parse(url)
    if is_sqlite(parsed) and not Path(parsed.database or "").exists():
        return False
    with closing(Database(address, patience_seconds=OPENING_SECONDS)) as database:
        if _read_version(database) is None:
            return False
        _check(database, create=False)
        return True


def migrate_database(url: str) -> tuple[str, str]:
    """Bring our tables to this version; returns the versions before and after.

    Makes no tables in a database without ours. Raises StorageProblem, SchemaMismatch.
    """
    address = _parse(url, create=False)
    with closing(Database(address, patience_seconds=OPENING_SECONDS)) as database:
        before = _read_version(database)
        if before is None or before not in read_revisions(MIGRATIONS).known:
            _check(database, create=False)  # raises
        _upgrade(database)
        return str(before), newest_version()


def _parse(url: str, *, create: bool) -> str:
    """The URL with its driver; refuses a SQLite file that cannot serve, as `check_file` does."""
    parsed = parse(url)
    if is_sqlite(parsed):
        check_file(parsed, create=create)
    return parsed.render_as_string(hide_password=False)


def newest_version() -> str:
    """The version that this lrsearch reads and writes."""
    return read_revisions(MIGRATIONS).newest


def _check(database: Database, *, create: bool) -> None:
    version, newest = _read_version(database), newest_version()
    if version is None:
        if not create:
            none = f"{where(database.url)} holds no studies of lrsearch."
            raise StorageProblem(none, fix="Start one: lrsearch start-study FILE")
        _upgrade(database)
    elif version != newest and _await_version(database, version) != newest:
        fix = "Install the newer lrsearch that made them."
        if version in read_revisions(MIGRATIONS).known:
            fix = "Stop every worker, then: lrsearch migrate"
        there = f"the tables in {where(database.url)} are of version {version}"
        raise SchemaMismatch(f"{there}, this lrsearch reads {newest}.", fix=fix)


def _read_version(database: Database) -> str | None:
    def read(tx: Transaction) -> str | None:
        check_version(tx.connection)
        return _version_of(tx.connection)

    return database.transact(read, reads=True, patience_seconds=OPENING_SECONDS)


def _version_of(connection: Connection) -> str | None:
    """The version of our tables; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    query = text(f"select version_num from {VERSION_TABLE}")  # noqa: S608 - a constant
    version: str | None = connection.execute(query).scalar_one_or_none()
    return version


def _await_version(database: Database, version: str) -> str | None:
    """The version after another process' migration: on MariaDB others see each step of it."""
    if database.engine.dialect.name not in _COMMITS_EACH:
        return version
    try:
        with database.engine.begin() as connection, _queue(connection):
            return _version_of(connection)
    except exc.DBAPIError as error:
        raise explain_refusal(database.url, error) from error


def _upgrade(database: Database) -> None:
    """Run the missing migrations; many processes may try at once, and queue."""
    from lrsearch.storage.migrating import run_migrations

    try:
        for attempt in retry_races(exc.DBAPIError):
            with attempt, database.engine.begin() as connection, _queue(connection):
                run_migrations(connection, MIGRATIONS, VERSION_TABLE)
    except exc.DBAPIError as error:
        raise explain_refusal(database.url, error) from error


@contextmanager
def _queue(connection: Connection) -> Iterator[None]:
    """Let one process at a time change tables.

    SQLite's transaction is a lock already. PostgreSQL's lock ends with the transaction,
    MySQL's lock is the session's.
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
        if _version_of(connection) is None:
            # Every change of a table was committed by itself: tables without a version
            # are what a crash left, and empty.
            metadata.drop_all(connection)
        yield
    finally:
        connection.execute(text(f"select release_lock('{_LOCK_NAME}')"))


def _widen_alphabet(connection: Connection) -> None:
    """Let the tables that Optuna will make store every name: MariaDB's own default is latin1."""
    name = str(connection.engine.url.database).replace("`", "``")
    change = text(f"alter database `{name}` character set utf8mb4 collate utf8mb4_bin")
    with suppress(exc.DBAPIError):  # not every user has the right to do so
        connection.execute(change)
