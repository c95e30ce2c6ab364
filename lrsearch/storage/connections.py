"""Connections: drivers, time-outs for every wait, the database's clock, errors in one line.

`lrsearch.storage.database` begins transactions. Knows no tables.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Double,
    Engine,
    create_engine,
    exc,
    literal_column,
)

from lrsearch.errors import EnvironmentProblem, StorageProblem
from lrsearch.storage.faults import Fault, fault_of
from lrsearch.storage.limits import limit_answers
from lrsearch.storage.url import is_sqlite, mask_url

# 32 writers on one SQLite file waited up to 7.1 s; a longer wait than ten times that is
# a fault.
BUSY_SECONDS = 60
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30  # the longest of ours takes 0.1 s on 10,000 trials
# A process that is stopped inside a transaction keeps its study locked: the server ends
# the transaction after this time.
IDLE_SECONDS = 60

MEND = "Mend the database, its user's rights, or the URL (--storage, LRSEARCH_STORAGE)."
_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_CLOCKS = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "(extract(epoch from clock_timestamp())::float8)",
    "mysql": "unix_timestamp(now(6))",
    "mariadb": "unix_timestamp(now(6))",
}


def make_engine(url: URL) -> Engine:
    """Make an engine whose waits all end. Raises EnvironmentProblem for a missing driver."""
    try:
        return create_engine(url, **engine_options(url))
    except ImportError as error:
        raise _no_driver(url, error) from None


def _no_driver(url: URL, error: ImportError) -> EnvironmentProblem:
    """The error for a driver that is missing or does not load, in one line.

    psycopg without libpq explains itself in seven lines.
    """
    kind = url.get_backend_name()
    install = f"pip install 'lrsearch[{_EXTRAS.get(kind, 'postgresql')}]'"
    if isinstance(error, ModuleNotFoundError):
        return EnvironmentProblem(f"{kind} needs {error.name}:", fix=install)
    first = next(iter(str(error).splitlines()), type(error).__name__).rstrip(": ")
    broken = f"{url.get_driver_name()}, which {kind} needs, does not load ({first})."
    return EnvironmentProblem(broken, fix=f"Install it anew: {install}")


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of create_engine, for our engine and for Optuna's.

    They set time-outs and UTC, and test connections before use.
    """
    kinds: dict[str, dict[str, Any]] = {
        "sqlite": {"timeout": BUSY_SECONDS},
        "postgresql": {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_SECONDS}s"
            f" -c lock_timeout={STATEMENT_SECONDS}s"
            f" -c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        },
        "mysql": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": STATEMENT_SECONDS,
            "write_timeout": STATEMENT_SECONDS,
            "init_command": f"SET time_zone = '+00:00', wait_timeout = {IDLE_SECONDS},"
            f" innodb_lock_wait_timeout = {STATEMENT_SECONDS}",
            "charset": "utf8mb4",
        },
    }
    kind = url.get_backend_name()
    options: dict[str, Any] = {"connect_args": kinds[kind]}
    if kind == "sqlite":
        return options
    if kind == "postgresql":  # pymysql's own read_timeout does the same
        options["pool_events"] = [(limit_answers, "connect")]
    return {
        **options,
        # MySQL's own default would hide what others committed while we waited.
        "isolation_level": "READ COMMITTED",
        "pool_pre_ping": True,
        "pool_recycle": 300,
        "pool_size": 3,
        "max_overflow": 5,
    }


def clock_of(engine: Engine) -> ColumnElement[float]:
    """The database's clock: seconds since 1970 at this very statement, in every time zone."""
    return literal_column(_CLOCKS[engine.dialect.name], Double)


def explain_refusal(url: URL, error: exc.DBAPIError) -> Exception:
    """The error to raise where waiting does not help; a fault of ours (wrong data) is unchanged."""
    if fault_of(error) is Fault.OURS:
        return error
    return StorageProblem(f"{where(url)}: {driver_text(error)}", fix=MEND)


def where(url: URL) -> str:
    """The database, named without its password."""
    return f"database {url.database if is_sqlite(url) else mask_url(url)}"


def driver_text(error: exc.DBAPIError) -> str:
    """The driver's own words, in one line."""
    return " ".join(str(error.orig).split())
