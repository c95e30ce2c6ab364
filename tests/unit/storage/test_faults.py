"""Errors are classed by the codes that databases give, in whatever language they speak."""

import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time

import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from lrsearch.errors import StorageProblem, StorageUnavailable
from lrsearch.storage import open_ledger
from lrsearch.storage.faults import Fault, fault_of


def wrapped(orig):
    """The driver's error as SQLAlchemy raises it."""
    kind = getattr(
        exc,
        type(orig).__mro__[1].__name__
        if not hasattr(exc, type(orig).__name__)
        else type(orig).__name__,
    )
    return kind("select 1", {}, orig)


@pytest.mark.parametrize(
    ("orig", "fault"),
    [
        (
            pymysql.err.OperationalError(1045, "Zugriff verweigert für Benutzer"),
            Fault.REFUSED,
        ),
        (pymysql.err.OperationalError(1049, "Unbekannte Datenbank"), Fault.REFUSED),
        (pymysql.err.ProgrammingError(1146, "Tabelle existiert nicht"), Fault.REFUSED),
        (pymysql.err.OperationalError(1213, "Verklemmung"), Fault.DEADLOCK),
        (pymysql.err.OperationalError(1040, "Zu viele Verbindungen"), Fault.PASSING),
        (
            pymysql.err.OperationalError(2013, "Lost connection; does not exist"),
            Fault.PASSING,
        ),
        (pymysql.err.IntegrityError(1062, "Doppelt"), Fault.OURS),
        (psycopg.errors.InsufficientPrivilege("keine Berechtigung"), Fault.REFUSED),
        (psycopg.errors.UndefinedTable("Relation existiert nicht"), Fault.REFUSED),
        (psycopg.errors.ReadOnlySqlTransaction("nur Lesen"), Fault.REFUSED),
        (psycopg.errors.DeadlockDetected("Verklemmung"), Fault.DEADLOCK),
        (psycopg.errors.DiskFull("kein Platz"), Fault.PASSING),
        (
            psycopg.errors.AdminShutdown("wird heruntergefahren; permission denied"),
            Fault.PASSING,
        ),
        (psycopg.errors.UniqueViolation("doppelt"), Fault.OURS),
    ],
)
def test_a_code_says_what_an_error_means(orig, fault):
    assert fault_of(wrapped(orig)) is fault


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("select * from nowhere", Fault.REFUSED),
        ("insert into one values (1), (1)", Fault.OURS),
    ],
)
def test_sqlites_own_codes_count_too(statement, fault):
    connection = sqlite3.connect(":memory:")
    connection.execute("create table one (x integer unique)")
    with pytest.raises(sqlite3.Error) as raised:
        connection.execute(statement)
    connection.close()
    assert fault_of(wrapped(raised.value)) is fault


@pytest.fixture
def german_server():
    """Speaks PostgreSQL's protocol as far as a login that is refused with the given
    code, and no English.
    """
    servers = []

    def serve(state):
        listening = socket.create_server(("127.0.0.1", 0))
        servers.append(listening)
        threading.Thread(target=_refuse, args=(listening, state), daemon=True).start()
        return f"postgresql://somebody@127.0.0.1:{listening.getsockname()[1]}/lrsearch?gssencmode=disable"

    yield serve
    for each in servers:
        each.close()


def _refuse(listening, state):
    fields = {
        "S": "SCHWERWIEGEND",
        "V": "FATAL",
        "C": state,
        "M": "Passwort-Authentifizierung fehlgeschlagen",
    }
    body = (
        b"".join(key.encode() + text.encode() + b"\0" for key, text in fields.items())
        + b"\0"
    )
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            while (request := connection.recv(4096)) and struct.unpack(
                ">I", request[4:8]
            )[0] == 80877103:
                connection.sendall(b"N")  # no TLS
            connection.sendall(b"E" + struct.pack(">I", len(body) + 4) + body)


def test_a_refused_login_is_told_at_once_in_the_servers_own_language(german_server):
    began = time.monotonic()
    with pytest.raises(StorageProblem, match="fehlgeschlagen") as raised:
        open_ledger(german_server("28P01"))
    assert not isinstance(raised.value, StorageUnavailable)
    assert time.monotonic() - began < 5.0


def test_a_server_that_is_starting_is_waited_for(german_server, monkeypatch):
    monkeypatch.setattr("lrsearch.storage.schema.OPENING_SECONDS", 0.5)
    with pytest.raises(StorageUnavailable, match="fehlgeschlagen"):
        open_ledger(german_server("57P03"))


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        (None, "postgresql needs psycopg: pip install 'lrsearch[postgresql]'"),
        (
            'raise ImportError("no pq wrapper available.\\nAttempts made:\\n- no libpq")',
            "psycopg, which postgresql needs, does not load (no pq wrapper available.). Install it anew: pip install",
        ),
    ],
)
def test_a_driver_that_is_missing_or_does_not_load_is_said_in_one_line(
    tmp_path, driver, words
):
    if driver is not None:
        (tmp_path / "psycopg.py").write_text(driver)
    hide = (
        "import sys; sys.modules['psycopg'] = None; "
        if driver is None
        else f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    )
    code = (
        hide
        + "from lrsearch.cli.main import main; main(['studies', '--storage', 'postgresql://127.0.0.1:1/x'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert words in done.stderr
