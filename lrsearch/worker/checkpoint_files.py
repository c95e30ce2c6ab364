"""Files and folders of checkpoints, on a disk that other workers and machines share.

A file that another one removes meanwhile is no error. Knows nothing of the files'
contents.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"epoch-(\d+)(?:-batch-(\d+))?\.npz")


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A checkpoint on disk."""

    epoch: int
    batch: int
    path: Path
    size: int  # bytes


def file_name(epoch: int, batch: int) -> str:
    """`epoch-00012.npz` at an epoch's end, `epoch-00012-batch-00340.npz` within the next."""
    return (
        f"epoch-{epoch:05d}-batch-{batch:05d}.npz"
        if batch
        else f"epoch-{epoch:05d}.npz"
    )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder; none where another process has just removed it."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder, without links."""
    return [
        Path(each.path)
        for each in _entries(folder)
        if each.is_dir(follow_symlinks=False)
    ]


def attempt_files(folder: Path) -> list[CheckpointFile]:
    """An attempt's checkpoints, the oldest first."""
    files = []
    for each in _entries(folder):
        match = _NAME.fullmatch(each.name)
        if match is None or not each.is_file(follow_symlinks=False):
            continue
        with suppress(FileNotFoundError):
            size = each.stat(follow_symlinks=False).st_size
            epoch, batch = int(match[1]), int(match[2] or 0)
            files.append(CheckpointFile(epoch, batch, Path(each.path), size))
    return sorted(files, key=lambda each: (each.epoch, each.batch))


def trial_files(folder: Path) -> list[CheckpointFile]:
    """A trial's checkpoints, the oldest attempt's first."""
    attempts = [each for each in list_folders(folder) if each.name.isdigit()]
    attempts.sort(key=lambda each: int(each.name))
    return [file for each in attempts for file in attempt_files(each)]


def remove(path: Path) -> None:
    """Remove a file, if that can be done."""
    # A failure is another worker's doing, or a read-only disk, which the next write
    # reports.
    with suppress(OSError):
        path.unlink(missing_ok=True)


def write_durably(place: Path, data: bytes) -> None:
    """Write `data` to `place` so that after a crash the file is whole or not there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        beside.unlink(missing_ok=True)
        # never through a link that somebody placed there
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except BaseException:  # also an exit must leave no part of a file
        beside.unlink(missing_ok=True)
        raise
    # a rename survives once its folder is on disk
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
