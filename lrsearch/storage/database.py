"""Connections: engines with time-outs everywhere, atomic transactions on each kind of database, one
clock, clear errors.

Knows no tables.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    CursorResult,
    Double,
    Engine,
    create_engine,
    event,
    exc,
    literal_column,
    make_url,
)

from lrsearch.errors import EnvironmentProblem, StorageGone, StorageProblem, StorageUnavailable
from lrsearch.storage.faults import Fault, fault_of
from lrsearch.storage.limits import Errand, limit_answers
from lrsearch.storage.url import is_sqlite, mask_url

T = TypeVar("T")

# 32 writers on one SQLite file waited up to 7.1 s; ten times that is not a wait but a fault
BUSY_SECONDS = 60
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30  # the longest of ours takes 0.1 s on 10,000 trials
# A process that is stopped inside a transaction holds its study's lock: the server ends the
# transaction after this.
IDLE_SECONDS = 60
# an outage that lasts longer ends the worker; its lease lapses long before
PATIENCE_SECONDS = 600.0
AWAY_SECONDS = 15.0  # after a hurried call found nobody, others are not tried for so long
HURRY_SECONDS = 2.0  # a hurried call takes milliseconds; training never stands still for longer
SLOW_SECONDS = 5.0  # a call that took longer counts as cut off, whatever held it

_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_CLOCKS = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "(extract(epoch from clock_timestamp())::float8)",
    "mysql": "unix_timestamp(now(6))",
    "mariadb": "unix_timestamp(now(6))",
}


class Database:
    """One database: an engine, the clock, and how long to be patient with it."""

    def __init__(
        self,
        url: str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: ColumnElement[float] | None = None,
    ) -> None:
        self.engine = make_engine(make_url(url))
        # Reads need no lock on SQLite: they see the last commit, and wait for nobody.
        self._reader = self.engine.execution_options(lrsearch_reads=True)
        self._patience = patience_seconds
        self._away_until = 0.0
        self._errand: Errand[Any] | None = None
        self._troubled_at = -math.inf  # monotonic
        # SQLite's, once something was read or written there
        self._file: tuple[int, int] | None = None
        self.clock = clock_of(self.engine) if clock is None else clock

    @property
    def url(self) -> URL:
        return self.engine.url

    def write(self, work: Callable[[Connection], T], *, patience_seconds: float | None = None) -> T:
        """`work` in one transaction, repeated through outages: it must be safe to repeat."""
        return self._patiently(
            self.engine, work, self._patience if patience_seconds is None else patience_seconds
        )

    def read(self, work: Callable[[Connection], T], *, patience_seconds: float | None = None) -> T:
        """The same for what only reads."""
        return self._patiently(
            self._reader, work, self._patience if patience_seconds is None else patience_seconds
        )

    def hurriedly(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        """`work` in one try, for callers that can come back later: training must not wait for a
        database that is away.

        Raises StorageUnavailable; at once, for a while, when the last try just failed. One that is
        still being awaited by then goes on by itself, so that `work` must be safe to repeat, and to
        be repeated late.
        """
        if time.monotonic() < self._away_until or (
            self._errand is not None and self._errand.running
        ):
            raise StorageUnavailable(f"{where(self.url)} did not answer a moment ago.")
        engine = self._reader if reads else self.engine
        self._errand = errand = Errand(lambda: self._patiently(engine, work, 0.0))
        try:
            return errand.result(HURRY_SECONDS)
        except TimeoutError:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise StorageUnavailable(
                f"{where(self.url)} does not answer within {HURRY_SECONDS:g} s."
            ) from None
        except StorageUnavailable:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise

    def cut_off_within(self, seconds: float) -> bool:
        """Whether this process could not reach the database at some time in the last `seconds`:
        others may not have either.
        """
        return time.monotonic() - self._troubled_at < seconds

    def _patiently(
        self, engine: Engine, work: Callable[[Connection], T], patience_seconds: float
    ) -> T:
        began = time.monotonic()
        self._refuse_other_file()
        try:
            result = patiently(
                engine, work, patience_seconds=patience_seconds, troubled=self._note_trouble
            )
        except StorageProblem:
            self._refuse_other_file()
            raise
        else:
            if self._file is None and is_sqlite(self.url):
                self._file = file_of(self.url)
            return result
        finally:
            if time.monotonic() - began > SLOW_SECONDS:
                self._note_trouble()

    def _refuse_other_file(self) -> None:
        """Raises StorageGone where SQLite's file was deleted or replaced: open connections would go
        on writing to the old one.
        """
        if self._file is not None and file_of(self.url) != self._file:
            fix = "What was stored there is out of reach; end every process that uses it."
            raise StorageGone(
                f"{where(self.url)} was deleted or replaced while it was in use. {fix}"
            )

    def _note_trouble(self) -> None:
        self._troubled_at = time.monotonic()
        self._refuse_other_file()  # no patience brings it back

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def file_of(url: URL) -> tuple[int, int] | None:
    """Which file SQLite's path leads to now; None where there is none."""
    try:
        found = os.stat(url.database or "")  # noqa: PTH116 - once a transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino


def make_engine(url: URL) -> Engine:
    """An engine whose transactions are atomic and whose waits all end.

    Raises EnvironmentProblem for a missing driver.
    """
    try:
        engine = create_engine(url, **engine_options(url))
    except ImportError as error:
        raise _no_driver(url, error) from None
    if is_sqlite(url):
        make_atomic(engine)
    return engine


def _no_driver(url: URL, error: ImportError) -> EnvironmentProblem:
    """What to say where a driver is missing, or is there and does not load: psycopg without libpq
    says so in seven lines.
    """
    kind = url.get_backend_name()
    install = f"pip install 'lrsearch[{_EXTRAS.get(kind, 'postgresql')}]'"
    if isinstance(error, ModuleNotFoundError):
        return EnvironmentProblem(f"{kind} needs {error.name}: {install}")
    first = next(iter(str(error).splitlines()), type(error).__name__).rstrip(": ")
    return EnvironmentProblem(
        f"{url.get_driver_name()}, which {kind} needs, does not load ({first}). Install it anew: {install}"
    )


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of create_engine, for our engine and for Optuna's: time-outs, UTC, connections that
    are tried before use.
    """
    kinds: dict[str, dict[str, Any]] = {
        "sqlite": {"timeout": BUSY_SECONDS},
        "postgresql": {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s"
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
    options: dict[str, Any] = {"connect_args": kinds[url.get_backend_name()]}
    if is_sqlite(url):
        return options
    if url.get_backend_name() == "postgresql":
        # pymysql's own read_timeout does it there
        options["pool_events"] = [(limit_answers, "connect")]
    # MySQL's own default would hide what others committed while we waited
    isolation = {"isolation_level": "READ COMMITTED"}
    return {
        **options,
        **isolation,
        "pool_pre_ping": True,
        "pool_recycle": 300,
        "pool_size": 3,
        "max_overflow": 5,
    }


def make_atomic(engine: Engine) -> None:
    """Give a SQLite engine write-ahead logging and transactions that lock when they begin.

    As shipped, SELECT-then-UPDATE is not atomic there: pysqlite begins a transaction at the first
    write, and 8 workers were given 33 of 160 queued trials twice or more (none with this).
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
        reads = connection.get_execution_options().get("lrsearch_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def clock_of(engine: Engine) -> ColumnElement[float]:
    """The database's clock: seconds since 1970 at this very statement, whatever the session's time
    zone.
    """
    return literal_column(_CLOCKS[engine.dialect.name], Double)


def patiently(
    engine: Engine,
    work: Callable[[Connection], T],
    *,
    patience_seconds: float,
    troubled: Callable[[], None] = lambda: None,
) -> T:
    """Run `work` in one transaction, again and again with backoff while the database is away.

    `work` must be safe to repeat: a commit may have arrived though its answer was lost. `troubled`
    hears of every try that found the database away. Raises StorageUnavailable when patience ends,
    StorageProblem at once for what waiting does not mend.
    """
    began, pause = time.monotonic(), 0.1
    while True:
        try:
            with engine.begin() as connection:
                return work(connection)
        except exc.DBAPIError as error:
            fault = fault_of(error)
            if fault is Fault.OURS:
                raise
            if fault is Fault.REFUSED:
                raise StorageProblem(f"{where(engine.url)}: {reason(error)}") from error
            if fault is not Fault.DEADLOCK:
                troubled()
            if time.monotonic() - began + pause > patience_seconds:
                raise StorageUnavailable(
                    f"{where(engine.url)} does not answer: {reason(error)}"
                ) from error
        except exc.TimeoutError as error:  # every connection of the pool is in use
            if time.monotonic() - began + pause > patience_seconds:
                raise StorageUnavailable(f"{where(engine.url)} does not answer: {error}") from error
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
        pause = min(pause * 2, 5.0)


def new_id(made: CursorResult[Any]) -> int:
    """The id of the row that an INSERT made."""
    key = made.inserted_primary_key
    assert key is not None
    return int(key[0])


def problem(url: URL, error: exc.DBAPIError) -> Exception:
    """The error to raise for what waiting does not mend; a fault of ours (wrong data, a broken
    constraint) stays what it is.
    """
    return (
        error if fault_of(error) is Fault.OURS else StorageProblem(f"{where(url)}: {reason(error)}")
    )


def where(url: URL) -> str:
    """The database, named without its password."""
    return f"database {url.database}" if is_sqlite(url) else f"database {mask_url(url)}"


def reason(error: exc.DBAPIError) -> str:
    """The driver's own words, in one line."""
    return " ".join(str(error.orig).split())
