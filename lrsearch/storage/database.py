"""Connections: engines with time-outs everywhere, atomic transactions on each kind of database, one clock, clear errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, ColumnElement, Connection, Double, Engine, create_engine, event, exc, literal_column, make_url

from lrsearch.errors import EnvironmentProblem, StorageProblem, StorageUnavailable
from lrsearch.storage.url import is_sqlite, mask_url

T = TypeVar("T")

BUSY_SECONDS = 60  # 32 writers on one SQLite file waited up to 7.1 s; ten times that is not a wait but a fault
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30  # the longest of ours takes 0.1 s on 10,000 trials
PATIENCE_SECONDS = 600.0  # an outage that lasts longer ends the worker; its lease lapses long before

_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
# What the servers say when the fault is the caller's: another try would say the same.
_REFUSALS = (
    "password authentication failed",
    "access denied",
    "does not exist",
    "unknown database",
    "no password supplied",
    "no pg_hba.conf entry",
)


def make_engine(url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Engine:
    """An engine for `url` whose transactions are atomic and whose waits all end. Raises EnvironmentProblem for a missing driver."""
    parsed = make_url(url)
    try:
        engine = create_engine(parsed, **engine_options(parsed))
    except ModuleNotFoundError as error:
        extra = _EXTRAS[parsed.get_backend_name()]
        raise EnvironmentProblem(f"{parsed.get_backend_name()} needs {error.name}: pip install 'lrsearch[{extra}]'") from None
    if is_sqlite(parsed):
        make_atomic(engine)
    engine.lrsearch_patience = patience_seconds  # type: ignore[attr-defined]
    return engine


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of create_engine, for our engine and for Optuna's: time-outs, UTC, connections that are tried before use."""
    kinds: dict[str, dict[str, Any]] = {
        "sqlite": {"timeout": BUSY_SECONDS},
        "postgresql": {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        },
        "mysql": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": STATEMENT_SECONDS,
            "write_timeout": STATEMENT_SECONDS,
            "init_command": "SET time_zone = '+00:00'",
            "charset": "utf8mb4",
        },
    }
    options: dict[str, Any] = {"connect_args": kinds[url.get_backend_name()]}
    if is_sqlite(url):
        return options
    isolation = {"isolation_level": "READ COMMITTED"}  # MySQL's own default would hide what others committed while we waited
    return {**options, **isolation, "pool_pre_ping": True, "pool_recycle": 300, "pool_size": 3, "max_overflow": 5}


def make_atomic(engine: Engine) -> None:
    """Give a SQLite engine write-ahead logging and transactions that lock when they begin.

    As shipped, SELECT-then-UPDATE is not atomic there: pysqlite begins a transaction at the first write.
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged result survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def now_expression(dialect: str) -> ColumnElement[float]:
    """The database's clock: seconds since 1970, UTC, at this very statement."""
    clocks = {
        "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
        "postgresql": "extract(epoch from clock_timestamp())",
        "mysql": "unix_timestamp(now(6))",
    }
    return literal_column(clocks[dialect], Double)


def patiently(engine: Engine, work: Callable[[Connection], T], *, patience_seconds: float | None = None) -> T:
    """Run `work` in one transaction, again and again with backoff while the database is away.

    `work` must be safe to repeat: a commit may have arrived though its answer was lost. Raises StorageUnavailable when patience ends,
    StorageProblem at once for what waiting does not mend.
    """
    limit: float = engine.lrsearch_patience if patience_seconds is None else patience_seconds  # type: ignore[attr-defined]
    began, pause = time.monotonic(), 0.1
    while True:
        try:
            with engine.begin() as connection:
                return work(connection)
        except exc.DBAPIError as error:
            if not passing(error):
                raise problem(engine.url, error) from error
            if time.monotonic() - began + pause > limit:
                raise StorageUnavailable(f"{where(engine.url)} does not answer: {reason(error)}") from error
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
        pause = min(pause * 2, 5.0)


def passing(error: exc.DBAPIError) -> bool:
    """Whether another try may succeed: outages, deadlocks, locks; not refusals, and not faults of ours."""
    text = reason(error).lower()
    if any(refusal in text for refusal in _REFUSALS):
        return False
    if "readonly" in text or "read-only" in text or "malformed" in text or "not a database" in text:
        return False
    if "disk is full" in text or "disk full" in text or "no space" in text:
        return True  # space may be freed; nothing was written
    return error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError | exc.InternalError)


def problem(url: URL, error: exc.DBAPIError) -> Exception:
    """The error to raise for what waiting does not mend; a fault of ours (bad SQL, a broken constraint) stays what it is."""
    return StorageProblem(f"{where(url)}: {reason(error)}") if isinstance(error, exc.OperationalError) else error


def where(url: URL) -> str:
    """The database, named without its password."""
    return f"database {url.database}" if is_sqlite(url) else f"database {mask_url(url)}"


def reason(error: exc.DBAPIError) -> str:
    """The driver's own words, in one line."""
    return " ".join(str(error.orig).split())
