"""The meaning of a database's error: try again, report it, or a fault of ours.

The texts of errors depend on the server's language. So codes decide: SQLSTATE, MySQL's
numbers, SQLite's result codes.
"""

from __future__ import annotations

import re
import select
import tempfile
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import exc

LOGIN_SECONDS = 5.0  # a refusal takes milliseconds
_SQLSTATE = re.compile(rb'ErrorResponse\b.*?\sC "([0-9A-Z]{5})"')


class Fault(StrEnum):
    """What the caller can do about an error."""

    PASSING = "passing"  # an outage, a lock, a full disk: another try may succeed
    DEADLOCK = "deadlock"  # the database was there, and asks for another try
    # Another try would fail alike: a password, a right, a missing database or table.
    REFUSED = "refused"
    OURS = "ours"  # a broken constraint, wrong data


# By SQLSTATE: a whole code, or its class of two characters.
_POSTGRESQL: Mapping[str, Fault] = {
    "40P01": Fault.DEADLOCK,
    "25006": Fault.REFUSED,  # read-only
    "28": Fault.REFUSED,  # password, pg_hba.conf, unknown role
    "3D": Fault.REFUSED,  # unknown database
    "3F": Fault.REFUSED,  # unknown schema
    "42": Fault.REFUSED,  # no right, no table, no column
    "22": Fault.OURS,
    "23": Fault.OURS,
}
_MYSQL: Mapping[int, Fault] = {
    1213: Fault.DEADLOCK,
    # Login and rights.
    **dict.fromkeys(
        (1044, 1045, 1130, 1142, 1143, 1227, 1698, 1820, 1862, 2059), Fault.REFUSED
    ),
    # no database, column, table; syntax
    **dict.fromkeys((1049, 1054, 1064, 1146), Fault.REFUSED),
    1267: Fault.REFUSED,  # text that the table's alphabet does not have
    **dict.fromkeys((1290, 1792, 1836), Fault.REFUSED),  # read-only
    **dict.fromkeys((1021, 1205), Fault.PASSING),  # disk full, lock
}
_SQLITE: Mapping[int, Fault] = {
    1: Fault.REFUSED,  # no such table or column, syntax
    3: Fault.REFUSED,  # permission
    8: Fault.REFUSED,  # read-only, or the file was removed
    11: Fault.REFUSED,  # malformed
    13: Fault.PASSING,  # disk full: nothing was written, space may be freed
    14: Fault.REFUSED,  # cannot be opened
    23: Fault.REFUSED,  # not authorised
    26: Fault.REFUSED,  # no database
}
_OUTAGES = (exc.OperationalError, exc.InterfaceError, exc.InternalError)


def fault_of(error: exc.DBAPIError) -> Fault:
    """What `error` means, by its code; by its class where the code is missing or unknown."""
    if fault := _by_code(error.orig):
        return fault
    if error.connection_invalidated or isinstance(error, _OUTAGES):
        return Fault.PASSING
    # At login: an option that the driver does not know.
    at_login = isinstance(error, exc.ProgrammingError) and error.statement is None
    return Fault.REFUSED if at_login else Fault.OURS


def _by_code(orig: Any) -> Fault | None:
    if isinstance(getattr(orig, "sqlite_errorcode", None), int):
        return _SQLITE.get(orig.sqlite_errorcode & 0xFF)
    number = next(iter(getattr(orig, "args", ())), None)
    if isinstance(number, int):
        return _MYSQL.get(number)
    state = getattr(orig, "sqlstate", None) or _state_at_login(orig)
    return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])


def _state_at_login(orig: Any) -> str:
    """The SQLSTATE of a login that failed; empty where the server sent none.

    libpq keeps only the text of a failed login. So the login is tried once more with
    libpq's protocol trace, which has the code.
    """
    pgconn: Any = getattr(orig, "pgconn", None)
    if (
        type(pgconn).__name__ != "FinishedPGconn"
        or type(orig).__name__ == "ConnectionTimeout"
    ):
        return ""  # no login
    if pgconn.needs_password:
        return "28P01"
    try:
        options = {
            each.keyword.decode(): each.val.decode() for each in pgconn.info if each.val
        }
        return _traced_state(options)
    except Exception:  # noqa: BLE001 - a libpq without the trace: the error counts as an outage
        return ""


def _traced_state(options: Mapping[str, str]) -> str:
    from psycopg import conninfo, pq

    with tempfile.TemporaryFile() as trace:
        connection = pq.PGconn.connect_start(conninfo.make_conninfo(**options).encode())
        try:
            connection.trace(trace.fileno())
            _await_login(connection, pq.PollingStatus)
            connection.untrace()  # writes out what is buffered
        finally:
            connection.finish()
        trace.seek(0)
        match = _SQLSTATE.search(trace.read())
    return match[1].decode() if match else ""


def _await_login(connection: Any, status: Any) -> None:
    end = time.monotonic() + LOGIN_SECONDS
    while time.monotonic() < end:
        now = connection.connect_poll()
        if now in {status.OK, status.FAILED}:
            return
        reading = [connection.socket] if now == status.READING else []
        writing = [connection.socket] if now == status.WRITING else []
        select.select(reading, writing, [], 1.0)
