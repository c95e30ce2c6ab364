"""Where a SQLite file may lie."""

import pytest

from lrsearch.errors import StorageProblem
from lrsearch.storage import url as urls
from lrsearch.storage.url import check_file, file_system, parse

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


@pytest.mark.parametrize(("folder", "kind"), [("", "overlay"), ("home", "nfs4"), ("home/fast disk", "ext4")])
def test_the_nearest_mount_says_the_kind_of_file_system(tmp_path, mounts, folder, kind):
    assert file_system(tmp_path / folder, mounts) == kind


def test_an_unknown_table_of_mounts_says_nothing(tmp_path):
    assert file_system(tmp_path, tmp_path / "nowhere") == ""


def test_sqlite_is_refused_on_a_network_file_system_saying_what_to_use(tmp_path, mounts, monkeypatch):
    monkeypatch.setattr(urls, "file_system", lambda folder: file_system(folder, mounts))
    with pytest.raises(StorageProblem, match=r"network file system \(nfs4\).*lrsearch database start"):
        check_file(parse(f"sqlite:///{tmp_path}/home/lrsearch.db"), create=True)
    check_file(parse(f"sqlite:///{tmp_path}/home/fast disk/lrsearch.db"), create=True)
