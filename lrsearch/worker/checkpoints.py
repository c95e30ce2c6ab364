"""Checkpoints on disk: whole training states that an attempt can go on from.

One file a checkpoint, one folder an attempt, `<root>/<study>/<trial>/<attempt>/epoch-00012.npz`, so
that a zombie cannot overwrite its successor's; the name of one within an epoch has the batches
done, too. A file is a zip of plain arrays (no pickle) and one JSON text; it is written beside its
place, fsynced, renamed, and its folder fsynced. Its SHA-256 is the caller's to keep: a flipped byte
is found on reading. Knows nothing of SQL, Keras or leases.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lrsearch.errors import InvalidValue
from lrsearch.values import Json, Snapshot

KEPT = 2  # a checkpoint that turns out corrupt costs one interval, not the trial
# the JSON member; arrays are members a0, a1, ... so that a variable's name never is a file's name
_META = "meta"
_NAME = re.compile(r"epoch-(\d+)(?:-batch-(\d+))?\.npz")
_FOREIGN = "V"  # NumPy's kind for bfloat16 and its like: they travel as bytes with their name


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointPolicy:
    """When a checkpoint is due, and how much room all of a study's may take."""

    every_seconds: float | None = 60.0
    every_epochs: int | None = None
    quota_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in ("every_seconds", "every_epochs", "quota_bytes"):
            value = getattr(self, field)
            if value is not None and not value > 0:
                raise InvalidValue(f"checkpoint {field}", got=value, allowed="above 0")

    def due(self, *, epochs: int, seconds: float) -> bool:
        """Whether to write one, `epochs` and `seconds` after the last (or after the attempt began)."""
        by_epochs = self.every_epochs is not None and epochs >= self.every_epochs
        by_seconds = self.every_seconds is not None and seconds >= self.every_seconds
        return by_epochs or by_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A checkpoint as the manifest records it."""

    epoch: int
    batch: int  # done of the epoch in progress; 0 at an epoch's end
    path: str  # below the root, with forward slashes
    sha256: str
    size: int  # bytes


class Manifest(Protocol):
    """What a stored record of a checkpoint must have."""

    @property
    def epoch(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class CheckpointUnusable(Exception):
    """This checkpoint cannot be read; its text says why. The one before may do."""


class NoRoom(Exception):
    """The checkpoint was not written: quota or disk; its text says which."""


class CheckpointStore:
    """The checkpoints of one study below one root folder.

    Several workers, and machines, share the folder: what another one removes meanwhile is no error.
    Whoever else may write there could lay links, so below the root none is followed: a folder that
    is a link is never written to, emptied or counted.
    """

    def __init__(self, root: Path, study: str, policy: CheckpointPolicy | None = None) -> None:
        self.root = root.expanduser().resolve()
        self.policy = policy or CheckpointPolicy()
        self._study = self.root / study
        if (
            not self._study.is_relative_to(self.root)
            or ".." in self._study.parts
            or self._study == self.root
        ):
            raise CheckpointUnusable(f"{study!r} lies outside the checkpoint folder {self.root}")

    def write(self, trial_id: int, attempt: int, snapshot: Snapshot) -> Written:
        """Put `snapshot` on disk for good.

        Raises NoRoom where the quota or the disk is full; nothing is left then.
        """
        data = encode(snapshot)
        place = self.folder(trial_id) / str(attempt) / file_name(snapshot.epoch, snapshot.batch)
        try:
            self._refuse_links(place.parent)
            self._make_room(len(data), keep=self.folder(trial_id))
            _write_durably(place, data)
        except OSError as error:
            raise NoRoom(
                f"no checkpoint at epoch {snapshot.epoch}: {error.strerror or error} ({place.parent})"
            ) from error
        return Written(
            epoch=snapshot.epoch,
            batch=snapshot.batch,
            path=place.relative_to(self.root).as_posix(),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
        )

    def read(self, manifest: Manifest) -> Snapshot:
        """The snapshot that `manifest` records.

        Raises CheckpointUnusable: outside the root, missing, altered.
        """
        place = self._inside(manifest.path)
        try:
            data = place.read_bytes()
        except OSError as error:
            raise CheckpointUnusable(f"{place}: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != manifest.sha256:
            raise CheckpointUnusable(f"{place}: its SHA-256 is not the one recorded")
        return decode(data)

    def newest(self, manifests: Iterable[Manifest]) -> tuple[Snapshot | None, tuple[str, ...]]:
        """The newest readable snapshot, and a line about each newer one that was not."""
        troubles: list[str] = []
        for manifest in sorted(manifests, key=lambda each: (each.epoch, each.batch), reverse=True):
            try:
                return self.read(manifest), tuple(troubles)
            except CheckpointUnusable as error:
                troubles.append(str(error))
        return None, tuple(troubles)

    def trim(self, trial_id: int, attempt: int) -> None:
        """Keep the newest two of this attempt; with two of its own, it needs no older attempt's."""
        trial = self.folder(trial_id)
        if self._through_link(trial / str(attempt)):
            return
        own = [each.path for each in _files(trial / str(attempt))]
        for old in own[:-KEPT]:
            _remove(old)
        if len(own) >= KEPT:
            for folder in _folders(trial):
                if folder.name.isdigit() and int(folder.name) < attempt:
                    shutil.rmtree(folder, ignore_errors=True)

    def discard(self, written: Written) -> None:
        """Remove one checkpoint that nobody will ask for."""
        place = self.root / written.path
        if not self._through_link(place.parent):
            _remove(place)

    def forget(self, trial_id: int) -> None:
        """Remove every checkpoint of a trial that has ended."""
        if not self._through_link(self._study):
            # refuses a link, and follows none within
            shutil.rmtree(self.folder(trial_id), ignore_errors=True)

    def folder(self, trial_id: int) -> Path:
        """Where a trial's attempts have their folders."""
        return self._study / str(int(trial_id))

    def files_folder(self, label: str, attempt: int) -> Path:
        """Where the user's own checkpointing callbacks may write; theirs to keep, so `forget`
        leaves it.
        """
        return self._study / "files" / label.replace(" ", "-") / f"attempt-{attempt}"

    def used(self) -> int:
        """Bytes that this study's checkpoints take."""
        if self._through_link(self._study):
            return 0
        return sum(each.size for trial in _folders(self._study) for each in _of_trial(trial))

    def _make_room(self, size: int, *, keep: Path) -> None:
        """Refuse what would pass the quota, after letting this trial's older checkpoints go, all
        but the newest.
        """
        quota = self.policy.quota_bytes
        if quota is None or self.used() + size <= quota:
            return
        for old in _of_trial(keep)[:-1]:
            _remove(old.path)
        if self.used() + size > quota:
            raise NoRoom(
                f"no checkpoint: {size} bytes more would pass the quota of {quota} below {self._study}"
            )

    def _refuse_links(self, folder: Path) -> None:
        if link := self._through_link(folder):
            raise NoRoom(
                f"no checkpoint: {link} is a link, and links are not followed below {self.root}"
            )

    def _through_link(self, folder: Path) -> Path | None:
        """The first link on the way from the root down to `folder`, itself included."""
        parts = folder.relative_to(self.root).parts
        way = (self.root.joinpath(*parts[: depth + 1]) for depth in range(len(parts)))
        return next((each for each in way if os.path.islink(each)), None)  # noqa: PTH114 - never raises

    def _inside(self, path: str) -> Path:
        """`path` below the root, links followed; a path from a database is never trusted to stay
        there.
        """
        place = (self.root / path).resolve()
        if place == self.root or not place.is_relative_to(self.root):
            raise CheckpointUnusable(f"{path!r} lies outside the checkpoint folder {self.root}")
        return place


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A checkpoint as it lies on disk."""

    epoch: int
    batch: int
    path: Path
    size: int  # bytes


def file_name(epoch: int, batch: int) -> str:
    """`epoch-00012.npz` for an epoch's end, and `epoch-00012-batch-00340.npz` for a place within
    the next.
    """
    return f"epoch-{epoch:05d}-batch-{batch:05d}.npz" if batch else f"epoch-{epoch:05d}.npz"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder now; nothing where another process has just removed it."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [Path(each.path) for each in _entries(folder) if each.is_dir(follow_symlinks=False)]


def _files(folder: Path) -> list[_File]:
    """An attempt's checkpoints, the oldest first."""
    found = []
    for each in _entries(folder):
        match = _NAME.fullmatch(each.name)
        if match is None or not each.is_file(follow_symlinks=False):
            continue
        with suppress(FileNotFoundError):
            size = each.stat(follow_symlinks=False).st_size
            found.append(
                _File(
                    epoch=int(match[1]), batch=int(match[2] or 0), path=Path(each.path), size=size
                )
            )
    return sorted(found, key=lambda each: (each.epoch, each.batch))


def _of_trial(folder: Path) -> list[_File]:
    """A trial's checkpoints, the oldest attempt's first."""
    attempts = sorted(
        (each for each in _folders(folder) if each.name.isdigit()), key=lambda each: int(each.name)
    )
    return [file for each in attempts for file in _files(each)]


def _remove(path: Path) -> None:
    # another worker's doing, or a disk that is read-only: the next write tells
    with suppress(OSError):
        path.unlink(missing_ok=True)


def encode(snapshot: Snapshot) -> bytes:
    """`snapshot` as the bytes of one uncompressed npz."""
    members: dict[str, np.ndarray] = {}
    names: list[dict[str, Json]] = []
    for index, (name, array) in enumerate(snapshot.arrays.items()):
        plain = np.asarray(array)
        described: dict[str, Json] = {"name": name}
        if plain.dtype.kind == _FOREIGN:
            described |= {"dtype": plain.dtype.name, "shape": list(plain.shape)}
            plain = np.frombuffer(np.ascontiguousarray(plain).tobytes(), np.uint8)
        members[f"a{index}"] = plain
        names.append(described)
    places = {"epoch": snapshot.epoch, "batch": snapshot.batch, "step": snapshot.step}
    meta = {**places, "arrays": names, "meta": dict(snapshot.meta)}
    members[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    buffer = io.BytesIO()
    # np.savez takes `allow_pickle` only from NumPy 2.1 on
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, array in members.items():
            with archive.open(f"{member}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def decode(data: bytes) -> Snapshot:
    """The inverse of `encode`. Raises CheckpointUnusable on anything that `encode` did not write."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as members:
            meta = json.loads(members[_META].tobytes())
            arrays = {
                each["name"]: _array(members[f"a{index}"], each)
                for index, each in enumerate(meta["arrays"])
            }
        # 0.1.0 wrote no batch
        places = {"epoch": meta["epoch"], "batch": meta.get("batch", 0), "step": meta["step"]}
        return Snapshot(**places, arrays=arrays, meta=meta["meta"])
    # zipfile, json, numpy and KeyError: whatever a foreign file provokes
    except Exception as error:
        raise CheckpointUnusable(f"not a checkpoint: {error}") from error


def _array(stored: np.ndarray, described: Mapping[str, Json]) -> np.ndarray:
    if "dtype" not in described:
        return stored
    import ml_dtypes  # bfloat16 and float8 for NumPy

    return np.frombuffer(stored.tobytes(), getattr(ml_dtypes, described["dtype"])).reshape(
        described["shape"]
    )


def _write_durably(place: Path, data: bytes) -> None:
    """Write `data` to `place` so that after a crash it is whole or not there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:  # never through a link that somebody laid there
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last. Windows cannot open folders and needs none of it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
