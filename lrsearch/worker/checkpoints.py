"""Checkpoints on disk: whole training states that an attempt can go on from.

One file a checkpoint, one folder an attempt, `<root>/<study>/<trial>/<attempt>/epoch-00012.npz`, so
that a zombie cannot overwrite its successor's; the name of one within an epoch has the batches
done, too. A file is written beside its place, fsynced, renamed, and its folder fsynced. Its SHA-256
is the caller's to keep: a flipped byte is found on reading. Knows nothing of SQL, Keras or leases.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.errors import InvalidValue
from lrsearch.values import Snapshot, StudyRecord
from lrsearch.worker.checkpoint_files import (
    attempt_files,
    file_name,
    list_folders,
    remove,
    trial_files,
    write_durably,
)
from lrsearch.worker.snapshots import CheckpointUnusable, decode_snapshot, encode_snapshot

if TYPE_CHECKING:
    from lrsearch.storage import CheckpointRecord

KEPT = 2  # a checkpoint that turns out corrupt costs one interval, not the trial
LONGEST_FOLDER = 255  # bytes of a file's name: ext4, XFS, APFS, NTFS


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
        data = encode_snapshot(snapshot)
        place = self.folder(trial_id) / str(attempt) / file_name(snapshot.epoch, snapshot.batch)
        try:
            self._refuse_links(place.parent)
            self._make_room(len(data), keep=self.folder(trial_id))
            write_durably(place, data)
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

    def read(self, manifest: Written | CheckpointRecord) -> Snapshot:
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
        return decode_snapshot(data)

    def newest(
        self, manifests: Iterable[Written | CheckpointRecord]
    ) -> tuple[Snapshot | None, tuple[str, ...]]:
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
        own = [each.path for each in attempt_files(trial / str(attempt))]
        for old in own[:-KEPT]:
            remove(old)
        if len(own) >= KEPT:
            for folder in list_folders(trial):
                if folder.name.isdigit() and int(folder.name) < attempt:
                    shutil.rmtree(folder, ignore_errors=True)

    def discard(self, written: Written) -> None:
        """Remove one checkpoint that nobody will ask for."""
        place = self.root / written.path
        if not self._through_link(place.parent):
            remove(place)

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
        return sum(each.size for trial in list_folders(self._study) for each in trial_files(trial))

    def _make_room(self, size: int, *, keep: Path) -> None:
        """Refuse what would pass the quota, after letting this trial's older checkpoints go, all
        but the newest.
        """
        quota = self.policy.quota_bytes
        if quota is None or self.used() + size <= quota:
            return
        for old in trial_files(keep)[:-1]:
            remove(old.path)
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


def folder_of(study: StudyRecord) -> str:
    """A study's folder below the root: its name and birth, since databases may share a root.

    Where that is longer than file systems allow, the name is cut, and a hash of all of it keeps it
    apart from others.
    """
    birth = f"{int(study.created_at):x}"
    whole = f"{study.name}-{birth}"
    if len(whole.encode()) <= LONGEST_FOLDER:
        return whole
    digest = hashlib.sha256(study.name.encode()).hexdigest()[:16]
    room = LONGEST_FOLDER - len(f"-{digest}-{birth}")
    return f"{study.name.encode()[:room].decode(errors='ignore')}-{digest}-{birth}"
