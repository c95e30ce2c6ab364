"""Where a SQLite file may lie, and what of a URL is shown."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from lrsearch.errors import InvalidValue, StorageProblem
from lrsearch.storage import schema
from lrsearch.storage import url as urls
from lrsearch.storage.url import check_file, file_system, mask, parse, resolve_url

MOUNTS = """overlay / overlay rw 0 0
server:/home {folder}/home nfs4 rw,vers=4.2 0 0
/dev/sdb {folder}/home/fast\\040disk ext4 rw 0 0
"""


@pytest.fixture
def mounts(tmp_path):
    """A table of mounts with a network file system, and a local disk inside it."""
    (tmp_path / "home" / "fast disk").mkdir(parents=True)
    table = tmp_path / "mounts"
    table.write_text(MOUNTS.format(folder=tmp_path))
    return table


@pytest.mark.parametrize(
    ("folder", "kind"), [("", "overlay"), ("home", "nfs4"), ("home/fast disk", "ext4")]
)
def test_the_nearest_mount_says_the_kind_of_file_system(tmp_path, mounts, folder, kind):
    assert file_system(tmp_path / folder, mounts) == kind


def test_an_unknown_table_of_mounts_says_nothing(tmp_path):
    assert file_system(tmp_path, tmp_path / "nowhere") == ""


def test_sqlite_is_refused_on_a_network_file_system_saying_what_to_use(
    tmp_path, mounts, monkeypatch
):
    monkeypatch.setattr(urls, "file_system", lambda folder: file_system(folder, mounts))
    with pytest.raises(
        StorageProblem, match=r"network file system \(nfs4\).*lrsearch database start"
    ):
        check_file(parse(f"sqlite:///{tmp_path}/home/lrsearch.db"), create=True)
    check_file(parse(f"sqlite:///{tmp_path}/home/fast disk/lrsearch.db"), create=True)


@pytest.mark.parametrize("key", ["password", "passwd", "sslpassword", "PASSWORD"])
def test_a_password_in_the_urls_query_is_refused_on_the_command_line_and_never_shown(
    key, monkeypatch
):
    monkeypatch.setattr(schema, "OPENING_SECONDS", 0.2)
    text = f"postgresql://127.0.0.1:1/d?{key}=hunter2&user=a&passfile=/home/a/.pgpass"
    with pytest.raises(InvalidValue, match="without a password") as raised:
        resolve_url(text, {})
    assert "hunter2" not in str(raised.value)
    assert "hunter2" in resolve_url(None, {"LRSEARCH_STORAGE": text}), (
        "where nobody else reads it, it serves"
    )
    shown = mask(text)
    assert "hunter2" not in shown
    assert "user=a" in shown
    assert "pgpass" in shown
    with pytest.raises(StorageProblem) as away:
        schema.check_storage(text)
    assert "hunter2" not in str(away.value)


def test_a_wrong_url_with_a_password_in_its_query_is_not_repeated():
    with pytest.raises(InvalidValue) as raised:
        parse("sqlite:///:memory:?password=hunter2")
    assert "hunter2" not in str(raised.value)


def test_a_look_at_a_database_leaves_the_locks_of_open_connections_alone(tmp_path):
    # opening and closing the file by other means than SQLite's would drop them
    path = tmp_path / "held.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as held:
        held.execute("CREATE TABLE known (value INTEGER)")
        held.execute("BEGIN IMMEDIATE")
        check_file(parse(f"sqlite:///{path}"), create=False)
        other = (
            "import sqlite3, sys\n"
            "sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        )
        ended = subprocess.run(
            [sys.executable, "-c", other, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "database is locked" in ended.stderr


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("these are my notes, and no database\n" * 40)
    with pytest.raises(StorageProblem, match="no SQLite database"):
        check_file(parse(f"sqlite:///{path}"), create=False)
