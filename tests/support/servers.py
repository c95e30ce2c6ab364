"""Throw-away database servers for tests: installed binaries, a free port, no password,
another user where we are root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

READY_SECONDS = 60.0


def find(name: str, *places: str) -> str | None:
    """An installed program's path, or None."""
    folders = [
        str(found)
        for place in places
        for found in sorted(Path("/").glob(place.lstrip("/")), reverse=True)
    ]
    return shutil.which(
        name, path=os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin"])
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _account(*names: str) -> str | None:
    """The first of these accounts that exists, where we are root and must be somebody else."""
    import pwd

    if os.geteuid() != 0:
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    return next((name for name in names if name in known), "nobody")


class Server:
    """One server process in a folder of its own.

    Subclasses say how it is made and how it is spoken to.
    """

    kind = ""
    ending = signal.SIGTERM

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        # durable: commits reach the disk, as a user's do
        self.folder, self.port, self.durable = folder, free_port(), durable
        self.user: str | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> None:
        subprocess.run(
            command,
            user=self.user,
            check=True,
            capture_output=True,
            cwd="/",
            env=self._environment(),
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            self.command(),
            user=self.user,
            stdout=log,
            stderr=log,
            cwd="/",
            env=self._environment(),
            start_new_session=True,
        )
        log.close()
        until = time.monotonic() + READY_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    f"{self.kind} does not start:\n{(self.folder / 'log').read_text(errors='replace')[-2000:]}"
                )
            time.sleep(0.1)

    def stop(self, number: int | None = None) -> None:
        """Stop it with a signal and wait; its data stay."""
        number = self.ending if number is None else number
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)

    def url(self, database: str) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def create(self, database: str) -> str:
        """A new, empty database; returns its URL."""
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self.folder)}

    def _give(self) -> None:
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        for each in (self.folder, *self.folder.parents):
            if each == Path("/tmp"):
                break
            each.chmod(each.stat().st_mode | 0o711)


class PostgreSQL(Server):
    """SIGINT is its fast stop, SIGQUIT its immediate one."""

    kind = "PostgreSQL"
    ending = signal.SIGINT
    places = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin")

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        super().__init__(folder, durable=durable)
        self.user = _account("postgres")
        self._give()
        self.run(
            str(find("initdb", *self.places)),
            "-D",
            f"{folder}/data",
            "-U",
            "lrsearch",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        )

    @classmethod
    def missing(cls) -> str:
        return (
            ""
            if find("initdb", *cls.places)
            else "PostgreSQL's initdb is not installed"
        )

    def command(self) -> list[str]:
        settings = {
            "unix_socket_directories": "",
            "max_connections": "300",
            "listen_addresses": "127.0.0.1",
        }
        settings["fsync"] = "on" if self.durable else "off"
        options = [
            part
            for name, value in settings.items()
            for part in ("-c", f"{name}={value}")
        ]
        return [
            str(find("postgres", *self.places)),
            "-D",
            f"{self.folder}/data",
            "-p",
            str(self.port),
            *options,
        ]

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://lrsearch@127.0.0.1:{self.port}/{database}"

    def _ask(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(
            f"postgresql://lrsearch@127.0.0.1:{self.port}/postgres",
            autocommit=True,
            connect_timeout=2,
        ) as ours:
            ours.execute(statement)  # type: ignore[call-overload]

    def answers(self) -> bool:
        try:
            self._ask("select 1")
        except Exception:  # noqa: BLE001 - not yet
            return False
        return True

    def create(self, database: str) -> str:
        self._ask(f"create database {database}")
        return self.url(database)


class MariaDB(Server):
    kind = "MariaDB"

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        super().__init__(folder, durable=durable)
        self.user = _account("mysql")
        self._give()
        install = str(find("mariadb-install-db") or find("mysql_install_db"))
        self.run(
            install,
            "--no-defaults",
            f"--datadir={folder}/data",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    @classmethod
    def missing(cls) -> str:
        found = find("mariadbd") and (
            find("mariadb-install-db") or find("mysql_install_db")
        )
        return "" if found else "MariaDB's mariadbd is not installed"

    def command(self) -> list[str]:
        options = [
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
        ]
        options += [
            f"--socket={self.folder}/s",
            f"--innodb-flush-log-at-trx-commit={int(self.durable)}",
        ]
        return [str(find("mariadbd")), *options]

    def url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def _ask(self, statement: str) -> None:
        import pymysql

        ours = pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", connect_timeout=2
        )
        try:
            ours.cursor().execute(statement)
        finally:
            ours.close()

    def answers(self) -> bool:
        try:
            self._ask("select 1")
        except Exception:  # noqa: BLE001 - not yet
            return False
        return True

    def create(self, database: str) -> str:
        # with the server's own default alphabet, as a user's would be
        self._ask(f"create database {database}")
        return self.url(database)
