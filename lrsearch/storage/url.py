"""Which database: the rules for a storage URL, and how it is shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
# Where SQLite's locks cannot be trusted: statfs magic numbers and /proc/mounts names.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "vboxsf"),
        *("lustre", "gpfs", "beegfs", "ceph", "glusterfs", "orangefs", "panfs", "wekafs"),
        *(
            "fuse.sshfs",
            "fuse.glusterfs",
            "fuse.ceph-fuse",
            "fuse.s3fs",
            "fuse.gcsfuse",
            "fuse.rclone",
        ),
    }
)


def resolve_url(given: str | None, environ: Mapping[str, str]) -> str:
    """The database's URL: `given` on the command line, else LRSEARCH_STORAGE, else lrsearch.db in
    the working folder.

    Either may be `file:PATH`, a file that holds the URL and that its owner alone can read;
    LRSEARCH_STORAGE_PASSWORD_FILE names a file with the password alone. SQLite's path becomes
    absolute. Raises InvalidValue and StorageProblem.
    """
    source = "--storage" if given is not None else VARIABLE
    text = given if given is not None else environ.get(VARIABLE) or DEFAULT
    url = parse(_read_private(text) if text.startswith(FILE_PREFIX) else text, source)
    if given is not None and not text.startswith(FILE_PREFIX) and _holds_secret(url):
        fix = (
            f"Every user of the machine can read a command line: set {VARIABLE} to the URL, or to"
            " file:PATH of a private file."
        )
        raise InvalidValue(
            "--storage", got=mask_url(url), allowed="a URL without a password", fix=fix
        )
    if not _holds_secret(url) and PASSWORD_FILE in environ and not is_sqlite(url):
        url = url.set(password=_read_secret(Path(environ[PASSWORD_FILE])))
    if is_sqlite(url):
        url = url.set(database=os.path.abspath(url.database or ""))  # noqa: PTH100 - links stay as given
    return url.render_as_string(hide_password=False)


def parse(text: str, source: str = "storage") -> URL:
    """A URL of a kind of database that serves, with the driver that the extras install."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        shown = text.split("://", 1)[0] + "://..." if "://" in text else "no URL"
        allowed = "a URL like sqlite:///lrsearch.db or postgresql://user@host/database"
        raise InvalidValue(source, got=shown, allowed=allowed) from None
    if url.drivername not in DRIVERS:
        raise InvalidValue(
            source, got=mask_url(url), allowed="a URL of sqlite, postgresql, mysql or mariadb"
        )
    url = url.set(drivername=DRIVERS[url.drivername])
    if is_sqlite(url) and (
        not url.database or ":memory:" in url.database or url.database.startswith("file:")
    ):
        fix = "Workers are processes of their own and must share a file: sqlite:///lrsearch.db."
        raise InvalidValue(
            source, got=mask_url(url), allowed="a file's path after sqlite:///", fix=fix
        )
    return url


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def mask_url(url: URL) -> str:
    secrets = [key for key in url.query if _secret(key)]
    return url.update_query_dict(dict.fromkeys(secrets, _HIDDEN)).render_as_string(
        hide_password=True
    )


def _secret(key: str) -> bool:
    """Whether an argument of the URL's query holds a secret: drivers take `password`, `passwd`,
    `sslpassword` and more there.
    """
    return any(part in key.lower() for part in ("password", "passwd", "secret"))


def _holds_secret(url: URL) -> bool:
    return url.password is not None or any(map(_secret, url.query))


def mask(url: str) -> str:
    """The URL as it may be shown and logged."""
    return mask_url(make_url(url))


def check_file(url: URL, *, create: bool) -> None:
    """Refuse a SQLite path that cannot serve; with `create`, the file may be missing, not its
    folder.
    """
    path = Path(url.database or "")
    if path.is_dir():
        raise StorageProblem(
            f"{path} is a folder.",
            fix=f"Give the path of a file, like sqlite:///{path / 'lrsearch.db'}.",
        )
    if not path.parent.is_dir():
        raise StorageProblem(
            f"there is no folder {path.parent} for the database {path.name}.",
            fix="Create it, or give another --storage.",
        )
    if not path.exists() and not create:
        raise StorageProblem(
            f"there is no database {path}.",
            fix="Start a study there first, or say where it is with --storage.",
        )
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK) or not os.access(path.parent, os.W_OK):
        fix = "SQLite needs its file and folder writable; give another --storage."
        raise StorageProblem(f"{target} cannot be written.", fix=fix)
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\0":
                raise StorageProblem(
                    f"{path} is no SQLite database.", fix="Give another --storage."
                )
    kind = file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        advice = "Use a local disk, or PostgreSQL: lrsearch database start --dir DIR."
        raise StorageProblem(
            f"{path} lies on a network file system ({kind}), where SQLite loses data.", fix=advice
        )


def file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system that holds `folder`; empty where it is not known."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    resolved = str(folder.resolve())
    points = {row[1].replace("\\040", " "): row[2] for row in rows}
    holding = [
        point
        for point in points
        if resolved == point or resolved.startswith(point.rstrip("/") + "/")
    ]
    return points[max(holding, key=len)] if holding else ""


def _read_private(text: str) -> str:
    path = Path(text.removeprefix(FILE_PREFIX)).expanduser()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise StorageProblem(f"cannot read the storage file {path}: {error.strerror}.") from None
    if mode & 0o077:
        raise StorageProblem(
            f"the storage file {path} can be read by others.",
            fix=f"Make it private: chmod 600 {quote(str(path))}",
        )
    return path.read_text(encoding="utf-8").strip()


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StorageProblem(
            f"cannot read the password file {path} ({PASSWORD_FILE}): {error.strerror}."
        ) from None
