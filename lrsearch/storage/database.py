"""The one way into the database: `Database.transact`.

**A transaction begins with a lock**: nothing changes between a look and the change after it.

    SQLite        BEGIN IMMEDIATE takes the file's one lock; work that only reads begins with BEGIN
    PostgreSQL    READ COMMITTED; SELECT ... FOR UPDATE locks the study's row, where one is named
    MySQL         the same, as in MariaDB

Every change of a trial's state names its study. So the changes of one study happen one after
another, and no two can deadlock. Curves, checkpoints and heartbeats lock the trial's row instead.

**It is tried again** while the database is away (`with_retries`). So all work must be safe to
repeat: a commit may have arrived though its answer was lost.

**One try is all** for callers that can come back later (`Database.try_write`, `try_read`): training
must not wait for a database that is away.

**A repeated request is served once.** An attempt's number fences what workers write of trials, and
every other request carries a token, with which its answer is stored (`Transaction.once`).
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Row,
    event,
    exc,
    make_url,
)
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from lrsearch.errors import StorageGone, StorageProblem, StorageUnavailable
from lrsearch.storage.connections import BUSY_SECONDS, clock_of, make_engine, reason, where
from lrsearch.storage.faults import Fault, fault_of
from lrsearch.storage.limits import DetachedCall
from lrsearch.storage.transaction import Transaction
from lrsearch.storage.url import is_sqlite

T = TypeVar("T")

# an outage that lasts longer ends the worker; its lease lapses long before
PATIENCE_SECONDS = 600.0
TRY_SECONDS = 2.0  # a single try takes milliseconds; training never stands still for longer
AWAY_SECONDS = 15.0  # after a single try found nobody, the next ones are refused for so long
SLOW_SECONDS = 5.0  # a call that took longer counts as cut off, whatever held it
_BACKOFF = wait_exponential(multiplier=0.1, max=5.0)


# -- how it begins on SQLite; servers' isolation is an option of their connections ---------------


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


# -- when it is tried again ----------------------------------------------------------------------


def with_retries(patience_seconds: float) -> Retrying:
    """Attempts until one succeeds, with backoff from 0.1 s to 5 s, while the database is away.

    Only StorageUnavailable is tried again; it is raised when the next pause would outlast the
    patience. Every other error ends the attempts at once.
    """

    def outlasts(state: RetryCallState) -> bool:
        return (state.seconds_since_start or 0.0) + _BACKOFF(state) > patience_seconds

    return Retrying(
        retry=retry_if_exception_type(StorageUnavailable),
        # jitter, so that workers do not come back all at once
        wait=lambda state: _BACKOFF(state) * random.uniform(0.5, 1.0),  # noqa: S311
        stop=outlasts,
        reraise=True,
    )


def retry_races(
    kind: type[Exception] = Exception, *, final: type[Exception] | tuple[()] = ()
) -> Retrying:
    """Eight tries of what several processes may make at once: all but one fail, and what they find
    at the next try is right (7 of 32 got through at the first).

    Errors of `kind` are tried again, those of `final` never; the last try's is raised.
    """
    return Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, kind) and not isinstance(error, final)
        ),
        wait=lambda state: random.uniform(0.05, 0.3) * state.attempt_number,  # noqa: S311
        stop=stop_after_attempt(8),
        reraise=True,
    )


# -- how it is run -------------------------------------------------------------------------------


class Database:
    """One database: an engine, the clock, and how long to be patient with it.

    `failpoint` is called with "NAME.written" just before a named transaction commits, and with
    "NAME.committed" after: a drill kills the process there.
    """

    def __init__(
        self,
        url: str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: ColumnElement[float] | None = None,
        failpoint: Callable[[str], object] | None = None,
    ) -> None:
        self.engine = make_engine(make_url(url))
        if is_sqlite(self.url):
            make_atomic(self.engine)
        # Reads need no lock on SQLite: they see the last commit, and wait for nobody.
        self._reader = self.engine.execution_options(lrsearch_reads=True)
        self.clock = clock_of(self.engine) if clock is None else clock
        self._patience, self._failpoint = patience_seconds, failpoint
        self._away_until = 0.0
        self._call: DetachedCall[Any] | None = None  # the last single try
        self._troubled_at = -math.inf  # monotonic
        # SQLite's, once something was read or written there
        self._file: tuple[int, int] | None = None

    @property
    def url(self) -> URL:
        return self.engine.url

    def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        study: Any = None,
        reads: bool = False,
        patience_seconds: float | None = None,
        failpoint: str = "",
    ) -> T:
        """`work` in one transaction, tried again through outages: it must be safe to repeat.

        `study` is the id of the study to lock; `reads` says that `work` changes nothing. Raises
        StorageUnavailable when the patience ends, StorageProblem at once where waiting does not
        help, StudyGone where the study is not there.
        """
        patience = self._patience if patience_seconds is None else patience_seconds
        engine = self._reader if reads else self.engine
        began = time.monotonic()
        try:
            for attempt in with_retries(patience):
                with attempt, self._explain_errors(), engine.begin() as connection:
                    transaction = Transaction(connection, self.clock, self.cut_off_within)
                    if study is not None:
                        transaction.lock_study(study)
                    result = work(transaction)
                    self._pass(failpoint, "written")
        finally:
            if time.monotonic() - began > SLOW_SECONDS:
                self._note_trouble()
        self._pass(failpoint, "committed")
        return result

    def rows(self, query: Executable) -> Sequence[Row[Any]]:
        """What a query finds."""
        return self.transact(lambda tx: tx.execute(query).all(), reads=True)

    def try_write(self, work: Callable[[Transaction], T], *, reads: bool = False) -> T:
        """`work` in one try.

        Raises StorageUnavailable; at once, for a while, when the last try just failed. A try that
        takes longer than TRY_SECONDS goes on by itself, so that `work` must be safe to repeat, and
        to be repeated late.
        """
        if time.monotonic() < self._away_until or (self._call is not None and self._call.running):
            raise StorageUnavailable(f"{where(self.url)} did not answer a moment ago.")
        self._call = call = DetachedCall(
            lambda: self.transact(work, reads=reads, patience_seconds=0.0)
        )
        try:
            return call.result(TRY_SECONDS)
        except TimeoutError:
            self._away_until = time.monotonic() + AWAY_SECONDS
            late = f"{where(self.url)} does not answer within {TRY_SECONDS:g} s."
            raise StorageUnavailable(late) from None
        except StorageUnavailable:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise

    def try_read(self, work: Callable[[Transaction], T]) -> T:
        """The same for work that only reads."""
        return self.try_write(work, reads=True)

    def cut_off_within(self, seconds: float) -> bool:
        """Whether this process could not reach the database at some time in the last `seconds`:
        others may not have either.
        """
        return time.monotonic() - self._troubled_at < seconds

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Raise a driver's errors as StorageUnavailable where another try may succeed, and as
        StorageProblem where it cannot; a fault of ours (wrong data) stays what it is.
        """
        self._refuse_other_file()
        try:
            yield
        except exc.TimeoutError as error:  # every connection of the pool is in use
            raise self._unavailable(error) from error
        except exc.DBAPIError as error:
            fault = fault_of(error)
            if fault is Fault.OURS:
                raise
            if fault is Fault.PASSING:
                self._note_trouble()
            self._refuse_other_file()
            if fault is Fault.REFUSED:
                raise StorageProblem(f"{where(self.url)}: {reason(error)}") from error
            raise self._unavailable(reason(error)) from error
        if self._file is None and is_sqlite(self.url):
            self._file = file_of(self.url)

    def _unavailable(self, why: object) -> StorageUnavailable:
        return StorageUnavailable(f"{where(self.url)} does not answer: {why}")

    def _refuse_other_file(self) -> None:
        """Raises StorageGone where SQLite's file was deleted or replaced: open connections would go
        on writing to the old one.
        """
        if self._file is not None and file_of(self.url) != self._file:
            fix = "What was stored there is out of reach; end every process that uses it."
            gone = f"{where(self.url)} was deleted or replaced while it was in use. {fix}"
            raise StorageGone(gone)

    def _note_trouble(self) -> None:
        self._troubled_at = time.monotonic()
        self._refuse_other_file()  # no patience brings it back

    def _pass(self, failpoint: str, stage: str) -> None:
        if failpoint and self._failpoint is not None:
            self._failpoint(f"{failpoint}.{stage}")


def file_of(url: URL) -> tuple[int, int] | None:
    """Which file SQLite's path leads to now; None where there is none."""
    try:
        found = os.stat(url.database or "")  # noqa: PTH116 - once a transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino
