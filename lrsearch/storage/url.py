"""Resolves and checks a storage URL, and hides its secrets."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from shlex import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lrsearch.errors import InvalidValue, StorageProblem

_HIDDEN = "hidden"  # stars would be written %2A in a query
DEFAULT = "sqlite:///lrsearch.db"
VARIABLE = "LRSEARCH_STORAGE"
PASSWORD_FILE = "LRSEARCH_STORAGE_PASSWORD_FILE"  # noqa: S105  # a variable's name
FILE_PREFIX = "file:"
# The drivers that the extras install; asynchronous ones do not serve.
DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}
# File systems on which SQLite's locks cannot be trusted, by their names in
# /proc/mounts.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "9p",
        "vboxsf",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "glusterfs",
        "orangefs",
        "panfs",
        "wekafs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph-fuse",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
    ]
)


def resolve_url(given: str | None, environ: Mapping[str, str]) -> str:
    """The database's URL: `given`, else LRSEARCH_STORAGE, else lrsearch.db in the working folder.

    Both may be `file:PATH`, a file with the URL that only its owner can read;
    LRSEARCH_STORAGE_PASSWORD_FILE names a file with just the password. SQLite's path
    becomes absolute. Raises InvalidValue and StorageProblem.
    """
    source = "--storage" if given is not None else VARIABLE
    text = given if given is not None else environ.get(VARIABLE) or DEFAULT
    url = parse(_read_private(text) if text.startswith(FILE_PREFIX) else text, source)
    if given is not None and not text.startswith(FILE_PREFIX) and _holds_secret(url):
        why = "Every user of the machine can read a command line"
        fix = f"{why}: set {VARIABLE} to the URL, or to file:PATH of a private file."
        allowed = "a URL without a password"
        raise InvalidValue("--storage", got=mask_url(url), allowed=allowed, fix=fix)
    if not _holds_secret(url) and PASSWORD_FILE in environ and not is_sqlite(url):
        url = url.set(password=_read_secret(Path(environ[PASSWORD_FILE])))
    if is_sqlite(url):
        path = os.path.abspath(url.database or "")  # noqa: PTH100 - links stay as given
        url = url.set(database=path)
    return url.render_as_string(hide_password=False)


def parse(text: str, source: str = "storage") -> URL:
    """Parse a URL and set the driver that the extras install. Raises InvalidValue."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        shown = text.split("://", 1)[0] + "://..." if "://" in text else "no URL"
        allowed = "a URL like sqlite:///lrsearch.db or postgresql://user@host/database"
        raise InvalidValue(source, got=shown, allowed=allowed) from None
    if url.drivername not in DRIVERS:
        allowed = "a URL of sqlite, postgresql, mysql or mariadb"
        raise InvalidValue(source, got=mask_url(url), allowed=allowed)
    url = url.set(drivername=DRIVERS[url.drivername])
    path = url.database or ":memory:"
    if is_sqlite(url) and (":memory:" in path or path.startswith("file:")):
        fix = "Workers are processes of their own and must share a file: sqlite:///lrsearch.db."
        allowed = "a file's path after sqlite:///"
        raise InvalidValue(source, got=mask_url(url), allowed=allowed, fix=fix)
    return url


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def mask_url(url: URL) -> str:
    """The URL without its secrets."""
    return url.update_query_dict(
        dict.fromkeys(_secrets(url), _HIDDEN)
    ).render_as_string()


def _secrets(url: URL) -> list[str]:
    """The arguments of the query that hold a secret: `password`, `passwd`, `sslpassword` ..."""
    parts = ("password", "passwd", "secret")
    return [key for key in url.query if any(part in key.lower() for part in parts)]


def _holds_secret(url: URL) -> bool:
    return url.password is not None or bool(_secrets(url))


def mask(url: str) -> str:
    """The URL as it may be shown and logged."""
    return mask_url(make_url(url))


def check_file(url: URL, *, create: bool) -> None:
    """Refuse a SQLite path that cannot serve; with `create`, the file may be missing.

    Raises StorageProblem.
    """
    path = Path(url.database or "")
    if path.is_dir():
        fix = f"Give the path of a file, like sqlite:///{path / 'lrsearch.db'}."
        raise StorageProblem(f"{path} is a folder.", fix=fix)
    if not path.parent.is_dir():
        text = f"there is no folder {path.parent} for the database {path.name}."
        raise StorageProblem(text, fix="Create it, or give another --storage.")
    if not path.exists() and not create:
        fix = "Start a study there first, or say where it is with --storage."
        raise StorageProblem(f"there is no database {path}.", fix=fix)
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK) or not os.access(path.parent, os.W_OK):
        fix = "SQLite needs its file and folder writable; give another --storage."
        raise StorageProblem(f"{target} cannot be written.", fix=fix)
    if path.exists() and path.stat().st_size and not _is_database(path):
        raise StorageProblem(
            f"{path} is no SQLite database.", fix="Give another --storage."
        )
    kind = file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        text = (
            f"{path} lies on a network file system ({kind}), where SQLite loses data."
        )
        fix = "Use a local disk, or PostgreSQL: lrsearch database start --dir DIR."
        raise StorageProblem(text, fix=fix)


def _is_database(path: Path) -> bool:
    """Whether SQLite reads the file.

    SQLite itself looks. A file that this process opens and closes by other means takes
    the locks of its open connections with it, and another process then writes over
    them: the database is malformed (sqlite.org/howtocorrupt.html, section 2.2).
    """
    with closing(
        sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    ) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            return error.sqlite_errorcode != sqlite3.SQLITE_NOTADB
    return True


def file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system of `folder`; empty where it is unknown."""
    try:
        rows = [
            line.split() for line in mounts.read_text(encoding="utf-8").splitlines()
        ]
    except OSError:
        return ""
    kinds = {Path(row[1].replace("\\040", " ")): row[2] for row in rows}
    resolved = folder.resolve()
    mounted = (each for each in (resolved, *resolved.parents) if each in kinds)
    return kinds.get(next(mounted, Path()), "")


def _read_private(text: str) -> str:
    path = Path(text.removeprefix(FILE_PREFIX)).expanduser()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        text = f"cannot read the storage file {path}: {error.strerror}."
        fix = f"{VARIABLE}=file:PATH needs a file that holds the database's URL."
        raise StorageProblem(text, fix=fix) from None
    if mode & 0o077:
        fix = f"Make it private: chmod 600 {quote(str(path))}"
        raise StorageProblem(f"the storage file {path} can be read by others.", fix=fix)
    return path.read_text(encoding="utf-8").strip()


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        text = (
            f"cannot read the password file {path} ({PASSWORD_FILE}): {error.strerror}."
        )
        raise StorageProblem(text, fix="Name a file that you can read.") from None
