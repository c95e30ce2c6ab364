"""Runs a private PostgreSQL server of the current user, for clusters without a database server.

`start` makes PostgreSQL's data in a folder, starts the server and writes its URL,
password included, into a file that the user alone can read. Runs PostgreSQL's own
installed programs; knows nothing of studies and of SQLAlchemy.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from lrsearch.errors import EnvironmentProblem, InvalidValue

USER = "lrsearch"
PROGRAMS = ("initdb", "pg_ctl", "psql")
# Newest first; Debian keeps the server's programs out of PATH.
PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseServer:
    """A private server's folder and what is known of it."""

    folder: Path
    url_file: Path
    address: str
    port: int

    @property
    def storage(self) -> str:
        """The value for `--storage` or LRSEARCH_STORAGE."""
        return f"file:{self.url_file}"


def start(
    folder: Path, *, listen: str = "127.0.0.1", port: int | None = None
) -> DatabaseServer:
    """Start the server in `folder`, which is made if needed; a running server stays as it is.

    `listen` is the address to serve: 127.0.0.1 for this machine alone, a host's own
    address for a cluster. Raises EnvironmentProblem where PostgreSQL is missing, the
    user is root, or the server does not start. Raises InvalidValue, before anything is
    changed, for a folder with other files and for an address of another machine.
    """
    programs = find_programs()
    _refuse_root()
    folder = folder.expanduser().resolve()
    if is_running(folder):
        return describe(folder)
    made = (folder / "data" / "PG_VERSION").exists()
    if not made:
        _refuse_foreign(folder)
    _check_address(listen)
    if not made:
        _create(folder, programs)
    _drop_stale_pid(folder)
    port = port or _kept_port(folder) or _free_port(listen)
    _configure(folder, listen=listen, port=port)
    ctl, data, log = programs["pg_ctl"], str(folder / "data"), str(folder / "log")
    _run([ctl, "-D", data, "-l", log, "-w", "-t", "60", "start"], folder)
    _create_database(folder, programs, port=port)
    _write_private(folder / "url", _url(folder, address=_reachable(listen), port=port))
    return describe(folder)


def stop(folder: Path) -> bool:
    """Stop the server in `folder`; False when none runs."""
    folder = folder.expanduser().resolve()
    if not is_running(folder):
        return False
    programs = find_programs()
    _run(
        [programs["pg_ctl"], "-D", str(folder / "data"), "-w", "-m", "fast", "stop"],
        folder,
    )
    return True


def is_running(folder: Path) -> bool:
    """Whether a server of this folder runs on this machine.

    `pg_ctl status` decides, since a pid file may outlive its server.
    """
    data = folder.expanduser() / "data"
    if _read_pid(data) is None:
        return False
    _refuse_root()
    command = [find_programs()["pg_ctl"], "-D", str(data), "status"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - fixed
    return done.returncode == 0 and _is_postgres(_read_pid(data))


def _read_pid(data: Path) -> int | None:
    """Read the process number in the server's pid file; None where there is none."""
    try:
        return int(
            (data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]
        )
    except (OSError, ValueError):
        return None


def _is_postgres(pid: int | None) -> bool:
    """Whether a process is PostgreSQL's.

    After a restart of the machine any program may have the number, and pg_ctl does not
    notice.
    """
    try:
        # "postgres", and "postmaster" in older versions.
        return pid is not None and "post" in psutil.Process(pid).name()
    except (psutil.NoSuchProcess, ValueError):  # ValueError: a number below 0
        return False
    except psutil.Error:  # unknown: pg_ctl decides
        return True


def _drop_stale_pid(folder: Path) -> None:
    """Remove a pid file whose process is another program: PostgreSQL would refuse to start."""
    pid = _read_pid(folder / "data")
    if pid is not None and not _is_postgres(pid):
        (folder / "data" / "postmaster.pid").unlink(missing_ok=True)


def describe(folder: Path) -> DatabaseServer:
    """Describe the server that `start` made in `folder`; raises InvalidValue without one."""
    folder = folder.expanduser().resolve()
    url_file = folder / "url"
    found = _search(r"@\[?([^/@\]]+)\]?:(\d+)/", url_file)
    if found is None:
        allowed = "a folder that `lrsearch database start` made"
        raise InvalidValue("--dir", got=str(folder), allowed=allowed)
    return DatabaseServer(
        folder=folder, url_file=url_file, address=found[1], port=int(found[2])
    )


def find_programs() -> dict[str, str]:
    """Find PostgreSQL's programs; raises EnvironmentProblem that names what to install."""
    places = (
        sorted(Path("/").glob(place.lstrip("/")), reverse=True) for place in PLACES
    )
    folders = [str(path) for paths in places for path in paths]
    search = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    paths = {name: shutil.which(name, path=search) for name in PROGRAMS}
    found = {name: path for name, path in paths.items() if path is not None}
    if missing := [name for name in PROGRAMS if name not in found]:
        where = f"PostgreSQL's {', '.join(missing)} not found in PATH or {PLACES[0]}."
        raise EnvironmentProblem(
            where, fix="Install it (Debian and conda: postgresql)."
        )
    return found


def _refuse_root() -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        raise EnvironmentProblem(
            "PostgreSQL does not run as root.",
            fix="Start the database as an ordinary user.",
        )


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with files that no initdb of ours left there."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and names != {"password", "command.log"}:
        allowed = "a new or empty folder, or one that `lrsearch database start` made"
        raise InvalidValue(
            "--dir", got=str(folder), allowed=allowed, fix=f"It holds {min(names)}."
        )


def _check_address(listen: str) -> None:
    """Refuse an address that this machine cannot serve."""
    if listen == "*":
        return
    fix = "Give this host's name or address, or '*'."
    try:
        [first, *_] = socket.getaddrinfo(listen, 0, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = first
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        allowed = f"an address of this machine ({why})"
        raise InvalidValue("--listen", got=listen, allowed=allowed, fix=fix) from None


def _create(folder: Path, programs: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _write_private(folder / "password", secrets.token_urlsafe(24))
    where = ["-D", str(folder / "data"), f"--pwfile={folder / 'password'}"]
    how = ["-U", USER, "-E", "UTF8", "--locale=C", "--auth=scram-sha-256"]
    _run([programs["initdb"], *where, *how], folder)
    with (folder / "data" / "pg_hba.conf").open("a", encoding="utf-8") as file:
        # listen_addresses decides who may connect at all
        file.write("host all all all scram-sha-256\n")


def _configure(folder: Path, *, listen: str, port: int) -> None:
    lines = {
        "listen_addresses": f"'{listen}'",
        "port": str(port),
        # a socket path is limited to 107 bytes; home folders on clusters exceed it
        "unix_socket_directories": "''",
        "timezone": "'UTC'",
        # two per worker: a Slurm array of 150 workers, and views
        "max_connections": "400",
    }
    text = "".join(f"{name} = {value}\n" for name, value in lines.items())
    (folder / "data" / "lrsearch.conf").write_text(text, encoding="utf-8")
    main = folder / "data" / "postgresql.conf"
    include = "include 'lrsearch.conf'\n"
    if include not in main.read_text(encoding="utf-8"):
        with main.open("a", encoding="utf-8") as file:
            file.write(include)


def _create_database(folder: Path, programs: dict[str, str], *, port: int) -> None:
    """Create the database `lrsearch`, if it is not there yet."""
    host = (folder / "data" / "lrsearch.conf").read_text(encoding="utf-8").split("'")[1]
    at = ["-h", _reachable(host), "-p", str(port), "-U", USER, "-d", "postgres"]
    base = [programs["psql"], *at, "-At", "-c"]
    if (
        _run(
            [*base, "select 1 from pg_database where datname = 'lrsearch'"], folder
        ).strip()
        != "1"
    ):
        _run([*base, "create database lrsearch"], folder)


def _run(command: list[str], folder: Path) -> str:
    """Run one of PostgreSQL's programs, with the password in its environment."""
    password, environment = folder / "password", dict(os.environ)
    if password.exists():
        environment["PGPASSWORD"] = password.read_text()
    # A file, not a pipe: the server inherits pg_ctl's output and would keep a pipe open
    # for ever.
    with (folder / "command.log").open("w+", encoding="utf-8") as output:
        done = subprocess.run(  # noqa: S603 - fixed programs
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
        output.seek(0)
        text = output.read()
    if done.returncode:
        last = (text.strip().splitlines() or ["no message"])[-1]
        failed = f"{Path(command[0]).name} failed in {folder}: {last}."
        raise EnvironmentProblem(failed, fix=f"See {folder / 'log'}.")
    return text


def _url(folder: Path, *, address: str, port: int) -> str:
    password = (folder / "password").read_text()
    return f"postgresql+psycopg://{USER}:{password}@{address}:{port}/{USER}"


def _write_private(path: Path, text: str) -> None:
    """Write `text` so that nobody else can read it, not even for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _reachable(listen: str) -> str:
    """The address that workers can reach: the host's name where the server listens everywhere."""
    everywhere = listen in {"*", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return socket.gethostname() if everywhere else listen


def _kept_port(folder: Path) -> int | None:
    """The port of the last start, so that URLs from before a restart stay valid."""
    found = _search(r"^port = (\d+)$", folder / "data" / "lrsearch.conf")
    return int(found[1]) if found else None


def _search(pattern: str, file: Path) -> re.Match[str] | None:
    return re.search(pattern, file.read_text(), re.MULTILINE) if file.exists() else None


def _free_port(listen: str) -> int:
    address = "" if listen == "*" else listen
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
