"""Checkpoints on disk: whole training states from which an attempt can go on.

Each checkpoint is one file in its attempt's folder, `<root>/<study>/<trial>/<attempt>/
epoch-00012.npz`, so that a worker that lost its lease cannot overwrite its successor's
files; the name of a checkpoint within an epoch has the batches done, too. A file is
written beside its place, fsynced and renamed, and its folder fsynced. The caller keeps
the file's SHA-256, so a flipped byte is found on reading. Knows nothing of SQL, Keras
or leases.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lrsearch.storage import CheckpointRecord
from lrsearch.values import Snapshot, StudyRecord
from lrsearch.worker.checkpoint_files import (
    attempt_files,
    file_name,
    list_folders,
    remove,
    trial_files,
    write_durably,
)
from lrsearch.worker.config import CheckpointPolicy
from lrsearch.worker.snapshots import (
    CheckpointUnusable,
    decode_snapshot,
    encode_snapshot,
)

KEPT = 2  # a checkpoint that turns out corrupt costs one interval, not the trial
LONGEST_FOLDER = 255  # bytes of a name on ext4, XFS, APFS, NTFS


class NoRoom(Exception):
    """The checkpoint was not written; the text names the reason, quota or disk."""


class CheckpointStore:
    """The checkpoints of one study below one root folder.

    Several workers and machines share the folder: a file that another one removes
    meanwhile is no error. Anybody who may write there could place links. So no link
    below the root is followed: a folder that is a link is never written to, emptied or
    counted.
    """

    def __init__(
        self, root: Path, study: str, policy: CheckpointPolicy | None = None
    ) -> None:
        self.root = root.expanduser().resolve()
        self.policy = policy or CheckpointPolicy()
        self._study = self.root / study
        if self.root not in self._study.parents or ".." in self._study.parts:
            raise CheckpointUnusable(
                f"{study!r} lies outside the checkpoint folder {self.root}"
            )

    def write(
        self, trial_id: int, attempt: int, snapshot: Snapshot
    ) -> CheckpointRecord:
        """Write `snapshot` durably.

        Raises NoRoom where the quota or the disk is full, and leaves no file then.
        """
        data = encode_snapshot(snapshot)
        place = (
            self.folder(trial_id)
            / str(attempt)
            / file_name(snapshot.epoch, snapshot.batch)
        )
        try:
            self._refuse_links(place.parent)
            self._make_room(len(data), keep=self.folder(trial_id))
            write_durably(place, data)
        except OSError as error:
            text = f"no checkpoint at epoch {snapshot.epoch}: {error.strerror or error}"
            raise NoRoom(f"{text} ({place.parent})") from error
        return CheckpointRecord(
            attempt=attempt,
            epoch=snapshot.epoch,
            batch=snapshot.batch,
            path=place.relative_to(self.root).as_posix(),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
        )

    def read(self, manifest: CheckpointRecord) -> Snapshot:
        """Read the snapshot that `manifest` records.

        Raises CheckpointUnusable where its file is outside the root, missing or
        altered.
        """
        # Links are followed here: a path from a database is never trusted to stay below
        # the root.
        place = (self.root / manifest.path).resolve()
        if self.root not in place.parents:
            outside = (
                f"{manifest.path!r} lies outside the checkpoint folder {self.root}"
            )
            raise CheckpointUnusable(outside)
        try:
            data = place.read_bytes()
        except OSError as error:
            raise CheckpointUnusable(f"{place}: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != manifest.sha256:
            raise CheckpointUnusable(f"{place}: its SHA-256 is not the one recorded")
        return decode_snapshot(data)

    def newest(
        self, manifests: Iterable[CheckpointRecord]
    ) -> tuple[Snapshot | None, tuple[str, ...]]:
        """Read the newest readable snapshot, with a line about each newer unreadable one."""
        troubles: list[str] = []
        for manifest in sorted(
            manifests, key=lambda each: (each.epoch, each.batch), reverse=True
        ):
            try:
                return self.read(manifest), tuple(troubles)
            except CheckpointUnusable as error:
                troubles.append(str(error))
        return None, tuple(troubles)

    def trim(self, trial_id: int, attempt: int) -> None:
        """Keep the attempt's newest two; an attempt with two needs none of an older attempt."""
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

    def discard(self, written: CheckpointRecord) -> None:
        """Remove one checkpoint that nobody will ask for."""
        place = self.root / written.path
        if not self._through_link(place.parent):
            remove(place)

    def forget(self, trial_id: int) -> None:
        """Remove every checkpoint of a trial that has ended."""
        if not self._through_link(self._study):
            # rmtree refuses a link, and follows none within.
            shutil.rmtree(self.folder(trial_id), ignore_errors=True)

    def folder(self, trial_id: int) -> Path:
        """The folder of a trial, with a folder for each attempt."""
        return self._study / str(int(trial_id))

    def files_folder(self, label: str, attempt: int) -> Path:
        """The folder for the user's own checkpointing callbacks; `forget` leaves it."""
        return self._study / "files" / label.replace(" ", "-") / f"attempt-{attempt}"

    def used(self) -> int:
        """The bytes of this study's checkpoints."""
        if self._through_link(self._study):
            return 0
        return sum(
            each.size
            for trial in list_folders(self._study)
            for each in trial_files(trial)
        )

    def _make_room(self, size: int, *, keep: Path) -> None:
        """Raises NoRoom past the quota, after removing all but the trial's newest checkpoint."""
        quota = self.policy.quota_bytes
        if quota is None or self.used() + size <= quota:
            return
        for old in trial_files(keep)[:-1]:
            remove(old.path)
        if self.used() + size > quota:
            more = f"{size} bytes more would pass the quota of {quota}"
            raise NoRoom(f"no checkpoint: {more} below {self._study}")

    def _refuse_links(self, folder: Path) -> None:
        if link := self._through_link(folder):
            rule = f"links are not followed below {self.root}"
            raise NoRoom(f"no checkpoint: {link} is a link, and {rule}")

    def _through_link(self, folder: Path) -> Path | None:
        """The first link on the way from the root down to `folder`, itself included."""
        below = [
            each for each in (folder, *folder.parents) if self.root in each.parents
        ]
        # Path.is_link may raise.
        links = (each for each in reversed(below) if os.path.islink(each))  # noqa: PTH114
        return next(links, None)


def folder_of(study: StudyRecord) -> str:
    """The name of a study's folder: its name and creation time, since databases may share a root.

    Where file systems do not allow such a long name, the study's name is cut, and a
    hash of the whole name is added.
    """
    birth = f"{int(study.created_at):x}"
    whole = f"{study.name}-{birth}"
    if len(whole.encode()) <= LONGEST_FOLDER:
        return whole
    digest = hashlib.sha256(study.name.encode()).hexdigest()[:16]
    room = LONGEST_FOLDER - len(f"-{digest}-{birth}")
    return f"{study.name.encode()[:room].decode(errors='ignore')}-{digest}-{birth}"
