"""The one way into the database: `Database.transact`.

**A transaction begins with a lock**, so that nothing changes between a read and the
write after it.

    SQLite        BEGIN IMMEDIATE takes the file's one lock; work that only reads begins with BEGIN
    PostgreSQL    READ COMMITTED; SELECT ... FOR UPDATE locks the study's row, where one is named
    MySQL         the same, as in MariaDB

Every change of a trial's state names its study. So the changes of one study happen one
after another, and no two can deadlock. Curves, checkpoints and heartbeats lock the
trial's row instead.

**A transaction is tried again** while the database is away. So all work must be safe to
repeat: a commit may have succeeded though its answer was lost.

**Some callers get one try** (`Database.try_write`, `try_read`): training must not wait
for a database that is away, and these callers come back later.

**A repeated request is served once.** An attempt's number fences all that workers write
of trials. Every other request carries a token, under which its answer is stored
(`Transaction.once`).
"""

from __future__ import annotations

import math
import os
import random
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
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
from tenacity import Retrying, retry_if_exception, stop_after_attempt

from lrsearch.errors import StorageGone, StorageProblem, StorageUnavailable
from lrsearch.storage.connections import (
    BUSY_SECONDS,
    MEND,
    clock_of,
    driver_text,
    make_engine,
    where,
)
from lrsearch.storage.faults import Fault, fault_of
from lrsearch.storage.limits import call_detached
from lrsearch.storage.transaction import Transaction
from lrsearch.storage.url import is_sqlite
from lrsearch.values import Json

T = TypeVar("T")
J = TypeVar("J", bound=Json)

# A longer outage ends the worker; its lease lapses long before.
PATIENCE_SECONDS = 600.0
# a single try takes milliseconds; training never stands still for longer
TRY_SECONDS = 2.0
# after a single try has failed, the next ones are refused for so long
AWAY_SECONDS = 15.0
SLOW_SECONDS = 5.0  # a call that took longer counts as an outage, whatever the cause
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between tries


def make_atomic(engine: Engine) -> None:
    """Give a SQLite engine write-ahead logging and transactions that lock when they begin.

    As shipped, SELECT-then-UPDATE is not atomic there: pysqlite begins a transaction at
    the first write, and 8 workers were given 33 of 160 queued trials twice or more
    (none with this).
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # an acknowledged result survives a power cut
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("lrsearch_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def retry_races(
    kind: type[Exception] = Exception, *, final: type[Exception] | tuple[()] = ()
) -> Retrying:
    """Try eight times to make what several processes may make at once.

    At the first try most processes fail (25 of 32); at the next one they find what
    another has made. Errors of `kind` are tried again, those of `final` never; the last
    try's error is raised.
    """
    return Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, kind) and not isinstance(error, final)
        ),
        wait=lambda state: random.uniform(0.05, 0.3) * state.attempt_number,  # noqa: S311
        stop=stop_after_attempt(8),
        reraise=True,
    )


class Database:
    """One database: an engine, its clock, and how long to wait through outages.

    `failpoint` is called with "NAME.written" just before a named transaction commits,
    and with "NAME.committed" after. Drills kill the process there.
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
        self._call: Future[Any] | None = None  # the last single try
        self._troubled_at = -math.inf  # monotonic
        # SQLite's file, known after the first transaction.
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
        """Run `work` in one transaction, again through outages: it must be safe to repeat.

        `study` is the id of the study to lock; `reads` says that `work` changes
        nothing. Raises StorageUnavailable when the patience ends, StorageProblem at
        once where waiting does not help, StudyGone where the study is not there.
        """
        patience = self._patience if patience_seconds is None else patience_seconds
        engine = self._reader if reads else self.engine
        began, pause = time.monotonic(), FIRST_PAUSE
        try:
            while True:
                self._refuse_other_file()
                try:
                    with engine.begin() as connection:
                        transaction = Transaction(
                            connection, self.clock, self.cut_off_within
                        )
                        if study is not None:
                            transaction.lock_study(study)
                        result = work(transaction)
                        self._pass(failpoint, "written")
                    break
                except (exc.DBAPIError, exc.TimeoutError) as error:
                    raised = self._explain_error(error)
                    if raised is error:
                        raise
                    spent = time.monotonic() - began + pause > patience
                    if spent or not isinstance(raised, StorageUnavailable):
                        raise raised from error
                # Jitter, so that workers do not come back all at once.
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            if time.monotonic() - began > SLOW_SECONDS:
                self._note_trouble()
        if self._file is None and is_sqlite(self.url):
            self._file = file_of(self.url)
        self._pass(failpoint, "committed")
        return result

    def request(
        self, work: Callable[[Transaction], J], *, study: Any, failpoint: str = ""
    ) -> J:
        """Run `work` with the study locked, once however often the request is tried.

        Its result must be JSON. Raises what `transact` raises.
        """
        token = secrets.token_hex(16)
        return self.transact(
            lambda tx: tx.once(token, work), study=study, failpoint=failpoint
        )

    def rows(self, query: Executable) -> Sequence[Row[Any]]:
        """Read the rows of a query."""
        return self.transact(lambda tx: tx.execute(query).all(), reads=True)

    def try_write(self, work: Callable[[Transaction], T], *, reads: bool = False) -> T:
        """Run `work` in one try.

        Raises StorageUnavailable; for a while after a failed try, at once. A try that
        takes longer than TRY_SECONDS goes on by itself, so that `work` must be safe to
        repeat, even late.
        """
        if time.monotonic() < self._away_until or (
            self._call and not self._call.done()
        ):
            raise StorageUnavailable(
                f"{where(self.url)} did not answer a moment ago; try again."
            )
        self._call = call = call_detached(
            lambda: self.transact(work, reads=reads, patience_seconds=0.0)
        )
        try:
            return call.result(TRY_SECONDS)
        except (TimeoutError, StorageUnavailable) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            if isinstance(error, StorageUnavailable):
                raise
            late = f"{where(self.url)} does not answer within {TRY_SECONDS:g} s."
            raise StorageUnavailable(late) from None

    def try_read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, which only reads, in one try; see `try_write`."""
        return self.try_write(work, reads=True)

    def cut_off_within(self, seconds: float) -> bool:
        """Whether this process could not reach the database at some time in the last `seconds`.

        Other processes may not have reached it either.
        """
        return time.monotonic() - self._troubled_at < seconds

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def _explain_error(self, error: exc.DBAPIError | exc.TimeoutError) -> Exception:
        """The error to raise instead: StorageUnavailable where another try may succeed.

        StorageProblem where no try can succeed; `error` itself where the fault is ours
        (wrong data).
        """
        text: object = error  # a TimeoutError: every connection of the pool is in use
        if isinstance(error, exc.DBAPIError):
            fault, text = fault_of(error), driver_text(error)
            if fault is Fault.OURS:
                return error
            if fault is Fault.PASSING:
                self._note_trouble()
            self._refuse_other_file()
            if fault is Fault.REFUSED:
                return StorageProblem(f"{where(self.url)}: {text}", fix=MEND)
        fix = "See whether it runs, and whether this machine reaches it."
        return StorageUnavailable(f"{where(self.url)} does not answer: {text}", fix=fix)

    def _refuse_other_file(self) -> None:
        """Raises StorageGone where SQLite's file was deleted or replaced.

        Open connections would go on writing to the old file.
        """
        if self._file is not None and file_of(self.url) != self._file:
            fix = (
                "What was stored there is out of reach; end every process that uses it."
            )
            gone = f"{where(self.url)} was deleted or replaced while it was in use."
            raise StorageGone(gone, fix=fix)

    def _note_trouble(self) -> None:
        self._troubled_at = time.monotonic()
        self._refuse_other_file()  # no waiting brings the file back

    def _pass(self, failpoint: str, stage: str) -> None:
        if failpoint and self._failpoint is not None:
            self._failpoint(f"{failpoint}.{stage}")


def file_of(url: URL) -> tuple[int, int] | None:
    """The device and inode of SQLite's file; None where there is none."""
    try:
        status = os.stat(url.database or "")  # noqa: PTH116 - once a transaction
    except OSError:
        return None
    return status.st_dev, status.st_ino
