"""Writes a study's setting as a .keras model: needs the study file, and TensorFlow in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lrsearch.values import Setting, StudyRecord


def export_model(
    study: StudyRecord, setting: Setting, *, study_file: Path, output: Path, seed: int, yours: bool
) -> None:
    """Save the untrained, compiled model. Raises StudyFileError, FingerprintMismatch, InvalidValue."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # nothing is trained: the GPU is left to others
    with _hushed():
        from lrsearch.definition import check_definition, load_study_file
        from lrsearch.engine import write_model

        definition = load_study_file(study_file).with_overrides(study.plan.overrides)
        check_definition(study, definition)
        write_model(definition, setting, output, seed=seed, yours=yours)


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep what TensorFlow's C++ says while it loads, whatever its log level is set to, off the
    terminal.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
