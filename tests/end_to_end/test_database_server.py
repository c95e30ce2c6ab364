"""`lrsearch database start`: a private PostgreSQL for clusters without a database
server, run as an ordinary user.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from servers import PostgreSQL

from lrsearch.storage import open_ledger, resolve_url

CODE = """
import encodings.idna, json, os, pwd, sys
from lrsearch.setup import database_server
from lrsearch.errors import LrSearchError
from lrsearch.cli.main import main
if os.geteuid() == 0 and sys.argv[1] != "as-root":
    account = pwd.getpwnam("postgres")
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"] = "/tmp"
main(sys.argv[2:])
"""


def lrsearch(*arguments, code=0, user="ordinary"):
    """The command under another user: its modules are loaded before root is given up,
    since /root may be closed to it.
    """
    command = [
        sys.executable,
        "-c",
        CODE,
        "as-root" if user == "root" else "ordinary",
        *map(str, arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def folder():
    why = PostgreSQL.missing()
    if why:
        if os.environ.get("LRSEARCH_TEST_NO_SKIP"):
            pytest.fail(why)
        pytest.skip(why)
    place = Path(tempfile.mkdtemp(prefix="lrs-db-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(place, "postgres")
    yield place / "db"
    lrsearch("database", "stop", "--dir", place / "db", code=0) if (
        place / "db" / "url"
    ).exists() else None
    shutil.rmtree(place, ignore_errors=True)


def test_it_starts_keeps_its_port_and_data_over_restarts_and_stops(folder):
    started = json.loads(
        lrsearch("database", "start", "--dir", folder, "--json").stdout
    )
    file = folder / "url"
    assert started["storage"] == f"file:{file}"
    assert file.stat().st_mode & 0o077 == 0, "its URL holds a password"
    ledger = open_ledger(resolve_url(started["storage"], {}), create=True)
    assert ledger.studies() == []
    ledger.close()
    again = json.loads(lrsearch("database", "start", "--dir", folder, "--json").stdout)
    assert again == started
    assert json.loads(
        lrsearch("database", "stop", "--dir", folder, "--json").stdout
    ) == {"stopped": True}
    assert (
        json.loads(lrsearch("database", "status", "--dir", folder, "--json").stdout)[
            "running"
        ]
        is False
    )
    third = json.loads(lrsearch("database", "start", "--dir", folder, "--json").stdout)
    assert third["port"] == started["port"]
    open_ledger(resolve_url(third["storage"], {})).close()
    text = lrsearch("database", "status", "--dir", folder).stdout
    assert "runs" in text
    assert (folder / "password").read_text() not in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as root")
def test_root_is_told_to_be_somebody_else(folder):
    done = lrsearch("database", "start", "--dir", folder, code=3, user="root")
    assert "ordinary user" in done.stderr
    assert not folder.exists()


def test_a_folder_that_it_did_not_make_is_refused(tmp_path):
    assert (
        "lrsearch database start"
        in lrsearch("database", "status", "--dir", tmp_path, code=2, user="root").stderr
    )


def test_a_folder_with_other_things_in_it_is_refused_before_anything_is_changed(folder):
    folder.mkdir()
    (folder / "password").write_text("mine")
    (folder / "notes.txt").write_text("mine too")
    folder.chmod(0o755)
    if os.geteuid() == 0:
        for each in (folder, *folder.iterdir()):
            shutil.chown(each, "postgres")
    before = {each.name: each.read_text() for each in folder.iterdir()}
    error = lrsearch("database", "start", "--dir", folder, code=2).stderr
    assert len(error.splitlines()) == 1
    assert "notes.txt" in error
    assert {each.name: each.read_text() for each in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("address", ["no-such-host.invalid", "192.0.2.1", "a" * 70])
def test_an_address_that_is_not_this_machines_is_refused_in_one_line(folder, address):
    error = lrsearch(
        "database", "start", "--dir", folder, "--listen", address, code=2
    ).stderr
    assert len(error.splitlines()) == 1
    assert "--listen must be an address of this machine" in error
    assert not folder.exists()


def test_a_pid_file_that_outlived_its_server_is_not_believed(folder):
    """Not even where another program has the number by now."""
    started = json.loads(
        lrsearch("database", "start", "--dir", folder, "--json").stdout
    )
    pid_file = folder / "data" / "postmaster.pid"
    text = pid_file.read_text()
    lrsearch("database", "stop", "--dir", folder)
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **user) as other:
        pid_file.write_text("\n".join([str(other.pid), *text.split("\n")[1:]]))
        if os.geteuid() == 0:
            shutil.chown(pid_file, "postgres")
        assert (
            json.loads(
                lrsearch("database", "status", "--dir", folder, "--json").stdout
            )["running"]
            is False
        )
        again = json.loads(
            lrsearch("database", "start", "--dir", folder, "--json").stdout
        )
        assert again == started
        open_ledger(resolve_url(again["storage"], {}), create=True).close()
        other.kill()
