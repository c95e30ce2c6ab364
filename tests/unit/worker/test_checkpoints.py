"""Checkpoints: what is written is read back bit for bit, and nothing else is ever believed."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lrsearch.errors import InvalidValue
from lrsearch.storage import CheckpointRecord
from lrsearch.values import Snapshot
from lrsearch.worker import checkpoint_files
from lrsearch.worker.checkpoints import (
    CheckpointStore,
    NoRoom,
    folder_of,
)
from lrsearch.worker.config import CheckpointPolicy
from lrsearch.worker.snapshots import (
    CheckpointUnusable,
    decode_snapshot,
    encode_snapshot,
)

FIXTURE = Path(__file__).parents[2] / "fixtures/v0_1_0/checkpoints"


def snapshot(epoch=1, batch=0, **arrays):
    return Snapshot(
        epoch=epoch,
        batch=batch,
        step=epoch * 10 + batch,
        arrays=arrays or {"w": np.arange(4.0)},
        meta={"curve": [1.0, float("inf")]},
    )


@given(
    st.dictionaries(
        st.text(max_size=12),
        hnp.arrays(
            st.one_of(
                hnp.floating_dtypes(endianness="<"),
                hnp.integer_dtypes(endianness="<"),
                hnp.boolean_dtypes(),
            ),
            hnp.array_shapes(min_dims=0, max_side=3),
        ),
        max_size=4,
    )
)
def test_any_arrays_come_back_bit_for_bit(arrays):
    back = decode_snapshot(
        encode_snapshot(Snapshot(epoch=3, step=7, arrays=arrays, meta={}))
    )
    assert (back.epoch, back.step, list(back.arrays)) == (3, 7, list(arrays))
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].shape == array.shape
        assert back.arrays[name].tobytes() == array.tobytes()


def test_bfloat16_comes_back_as_itself():
    array = np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3)
    back = decode_snapshot(encode_snapshot(snapshot(w=array))).arrays["w"]
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


def test_objects_are_never_written():
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        encode_snapshot(snapshot(w=np.array([object()])))


def test_written_then_read(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    written = store.write(4, 2, snapshot(7))
    assert written.path == "digits/4/2/epoch-00007.npz"
    assert store.read(written).meta == {"curve": [1.0, float("inf")]}
    assert [each.name for each in (tmp_path / "digits/4/2").iterdir()] == [
        "epoch-00007.npz"
    ]


def test_a_place_within_an_epoch_is_in_the_name_and_comes_back(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    written = store.write(4, 2, snapshot(7, 340))
    assert written.path == "digits/4/2/epoch-00007-batch-00340.npz"
    assert (written.epoch, written.batch) == (7, 340)
    assert store.read(written).place == (7, 340)


def test_a_checkpoint_that_0_1_0_wrote_stands_at_its_epochs_end():
    before = FIXTURE / "begun-6b087eff/47/1/epoch-00005.npz"
    assert decode_snapshot(before.read_bytes()).place == (5, 0)


@pytest.mark.parametrize(
    "path", ["../secret.npz", "/etc/passwd", "digits/../../x", "", "."]
)
def test_a_path_outside_the_root_is_refused(tmp_path, path):
    store = CheckpointStore(tmp_path / "root", "digits")
    written = store.write(1, 1, snapshot())
    with pytest.raises(CheckpointUnusable, match="outside"):
        store.read(replace(written, path=path))


def test_a_link_that_leads_outside_is_refused(tmp_path):
    store = CheckpointStore(tmp_path / "root", "digits")
    written = store.write(1, 1, snapshot())
    outside = tmp_path / "outside"
    (tmp_path / "root" / written.path).rename(outside)
    (tmp_path / "root" / written.path).symlink_to(outside)
    with pytest.raises(CheckpointUnusable, match="outside"):
        store.read(written)


def linked(tmp_path, below):
    """A store with a checkpoint, in whose folder somebody put a link to a folder of
    theirs, which holds a file of that name.
    """
    store = CheckpointStore(
        tmp_path / "root", "digits", CheckpointPolicy(quota_bytes=100_000)
    )
    theirs, link = tmp_path / "theirs", tmp_path / "root" / below
    precious = theirs / Path("digits/1/1").relative_to(below) / "epoch-00001.npz"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"precious")
    link.parent.mkdir(parents=True)
    link.symlink_to(theirs)
    for epoch in (2, 3, 4):
        (precious.parent / f"epoch-{epoch:05d}.npz").write_bytes(b"x" * 60_000)
    return store, precious


@pytest.mark.parametrize("below", ["digits", "digits/1", "digits/1/1"])
def test_no_link_below_the_root_is_followed_on_writing_trimming_or_making_room(
    tmp_path, below
):
    store, precious = linked(tmp_path, below)
    with pytest.raises(NoRoom, match="is a link"):
        store.write(1, 1, snapshot(1))
    assert store.used() == 0
    store.trim(1, 1)
    path = "digits/1/1/epoch-00001.npz"
    store.discard(CheckpointRecord(attempt=1, epoch=1, path=path, sha256="", size=8))
    store.forget(1)
    assert precious.read_bytes() == b"precious"
    assert len(list(precious.parent.iterdir())) == 4


def test_a_link_in_a_files_place_is_replaced_and_not_written_through(tmp_path):
    store = CheckpointStore(tmp_path / "root", "digits")
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    folder = tmp_path / "root/digits/1/1"
    folder.mkdir(parents=True)
    (folder / "epoch-00001.npz").symlink_to(theirs)
    (folder / f".epoch-00001.npz.{os.getpid()}.part").symlink_to(theirs)
    written = store.write(1, 1, snapshot(1))
    assert theirs.read_bytes() == b"precious"
    assert store.read(written).epoch == 1


def test_files_that_other_workers_remove_meanwhile_count_nothing_and_raise_nothing(
    tmp_path, monkeypatch
):
    store = CheckpointStore(tmp_path, "digits", CheckpointPolicy(quota_bytes=10**6))
    for trial in (1, 2, 3):
        store.write(trial, 1, snapshot())
    whole = store.used()
    seen = checkpoint_files._entries

    def entries(folder):
        found = seen(folder)
        if folder.name == "digits":
            # between the look at the folder and those at what lies in it
            CheckpointStore(tmp_path, "digits").forget(2)
        if folder.name == "1" and folder.parent.name == "3":
            (folder / "epoch-00001.npz").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(checkpoint_files, "_entries", entries)
    assert store.used() == whole // 3
    store.write(4, 1, snapshot())


@given(st.data())
def test_one_flipped_bit_is_found(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("root")
    store = CheckpointStore(root, "digits")
    written = store.write(1, 1, snapshot())
    place = root / written.path
    raw = bytearray(place.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    place.write_bytes(raw)
    with pytest.raises(CheckpointUnusable, match="SHA-256"):
        store.read(written)


def test_a_corrupt_newest_falls_back_to_the_one_before_aloud(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    first, second = store.write(1, 1, snapshot(1)), store.write(1, 1, snapshot(2))
    (tmp_path / second.path).write_bytes(b"PK")
    found, troubles = store.newest([first, second])
    assert found is not None
    assert found.epoch == 1
    assert len(troubles) == 1
    assert "epoch-00002.npz" in troubles[0]


def test_the_newest_is_the_one_furthest_within_the_epoch(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    written = [
        store.write(1, 1, snapshot(*place))
        for place in ((1, 0), (1, 20), (1, 100), (0, 500))
    ]
    found, troubles = store.newest(written)
    assert (found.place, troubles) == ((1, 100), ())
    (tmp_path / written[2].path).unlink()
    assert store.newest(written)[0].place == (1, 20)


def test_nothing_readable_means_beginning_anew_aloud(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    written = store.write(1, 1, snapshot())
    store.forget(1)
    found, troubles = store.newest([written])
    assert found is None
    assert "No such file" in troubles[0]


def test_two_are_kept_and_older_attempts_only_until_then(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    store.write(1, 1, snapshot(1))
    for epoch in (2, 3, 4):
        store.write(1, 2, snapshot(epoch))
        store.trim(1, 2)
        assert (tmp_path / "digits/1/1").exists() == (epoch == 2)
    assert sorted(each.name for each in (tmp_path / "digits/1/2").iterdir()) == [
        "epoch-00003.npz",
        "epoch-00004.npz",
    ]


def test_the_two_that_are_kept_are_the_furthest_within_the_epoch(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    for place in ((1, 0), (1, 90_000), (1, 100_000), (2, 0)):
        store.write(1, 1, snapshot(*place))
        store.trim(1, 1)
    assert sorted(each.name for each in (tmp_path / "digits/1/1").iterdir()) == [
        "epoch-00001-batch-100000.npz",
        "epoch-00002.npz",
    ]


def test_a_zombie_cannot_touch_its_successors_files(tmp_path):
    store = CheckpointStore(tmp_path, "digits")
    newer = store.write(1, 2, snapshot(5))
    store.write(1, 1, snapshot(5, w=np.zeros(9)))
    assert store.read(newer).arrays["w"].size == 4


def test_a_quota_refuses_and_leaves_nothing(tmp_path):
    size = len(encode_snapshot(snapshot()))
    store = CheckpointStore(tmp_path, "digits", CheckpointPolicy(quota_bytes=size + 10))
    store.write(1, 1, snapshot(1))
    with pytest.raises(NoRoom, match="quota"):
        store.write(2, 1, snapshot(1))
    assert not (tmp_path / "digits/2").exists()


def test_a_quota_lets_this_trials_older_ones_go_first(tmp_path):
    size = len(encode_snapshot(snapshot()))
    store = CheckpointStore(
        tmp_path, "digits", CheckpointPolicy(quota_bytes=2 * size + 10)
    )
    for epoch in (1, 2, 3):
        store.write(1, 1, snapshot(epoch))
    assert sorted(each.name for each in (tmp_path / "digits/1/1").iterdir()) == [
        "epoch-00002.npz",
        "epoch-00003.npz",
    ]


def test_a_folder_that_cannot_be_written_is_no_room_and_leaves_nothing(tmp_path):
    (tmp_path / "digits").write_text("a file in the way")
    store = CheckpointStore(tmp_path, "digits")
    with pytest.raises(NoRoom, match="Not a directory"):
        store.write(1, 1, snapshot())


@pytest.mark.parametrize(
    ("policy", "epochs", "seconds", "due"),
    [
        (CheckpointPolicy(), 1, 59.9, False),
        (CheckpointPolicy(), 1, 60.0, True),
        (CheckpointPolicy(every_seconds=None, every_epochs=3), 2, 1e9, False),
        (CheckpointPolicy(every_seconds=None, every_epochs=3), 3, 0.0, True),
        (CheckpointPolicy(every_seconds=10, every_epochs=3), 1, 10.0, True),
    ],
)
def test_due_by_epochs_or_seconds(policy, epochs, seconds, due):
    assert policy.due(epochs=epochs, seconds=seconds) is due


def test_a_policy_of_nonsense_is_refused():
    with pytest.raises(InvalidValue, match="every_seconds must be above 0"):
        CheckpointPolicy(every_seconds=float("nan"))


@pytest.mark.parametrize("name", ["n" * 255, "名" * 255, "n" * 246, "n" * 247])
def test_every_name_that_a_study_may_have_makes_a_folder(tmp_path, name):
    study = SimpleNamespace(name=name, created_at=1795718930.0)
    store = CheckpointStore(tmp_path, folder_of(study))
    assert store.read(store.write(1, 1, snapshot())).epoch == 1
    other = SimpleNamespace(name=name[:-1] + "x", created_at=1795718930.0)
    assert folder_of(other) != folder_of(study)


def test_a_folder_that_0_1_0_made_is_found_under_its_name():
    study = SimpleNamespace(name="begun", created_at=float(0x6B087EFF) + 0.5)
    assert (FIXTURE / folder_of(study)).is_dir()
    assert (
        folder_of(SimpleNamespace(name="n" * 246, created_at=float(0x6B087EFF)))
        == "n" * 246 + "-6b087eff"
    )
