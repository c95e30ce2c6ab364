"""The texts of a stored study's definition: its study file and the modules beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lrsearch.errors import InvalidValue
from lrsearch.values import StudyRecord
from lrsearch.worker.export import silence_stderr
from lrsearch.worker.loading import load_stored


def read_definition(study: StudyRecord, study_file: Path) -> dict[str, str]:
    """The texts by path below the file's folder, the study file first.

    The file is loaded, so that nothing is kept under the study's name that is not its
    definition. Raises StudyFileError, FingerprintMismatch.
    """
    with silence_stderr():
        sources = load_stored(study, study_file).sources
    if sources is None:
        return {}
    names = sorted(sources.texts, key=lambda path: (path != sources.home, path))
    return {
        path.relative_to(sources.root).as_posix(): sources.texts[path] for path in names
    }


def write_definition(texts: Mapping[str, str], folder: Path) -> Path:
    """Write the texts below `folder`; returns the study file's path."""
    for name, text in texts.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            allowed = "paths below the study file's folder alone"
            fix = "Give a file that you trust with --study-file."
            raise InvalidValue(
                "the archive's definition", got=name, allowed=allowed, fix=fix
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return folder / next(iter(texts))
