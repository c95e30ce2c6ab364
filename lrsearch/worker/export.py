"""Writes a study's setting as a .keras model: loads the study file and TensorFlow here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lrsearch.values import Setting, StudyRecord
from lrsearch.worker.loading import load_stored


def export_model(
    study: StudyRecord,
    setting: Setting,
    *,
    study_file: Path,
    output: Path,
    seed: int,
    yours: bool,
) -> None:
    """Save the untrained, compiled model.

    Raises StudyFileError, FingerprintMismatch, InvalidValue.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # nothing is trained: the GPU stays free
    with silence_stderr():
        from lrsearch.engine import write_model

        definition = load_stored(study, study_file)
        write_model(definition, setting, output, seed=seed, yours=yours)


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Keep TensorFlow's C++ messages off the terminal, whatever its log level is.

    Later ones of a TensorFlow that is loaded within, such as those on GPUs that are not
    there, are left out by its log level, unless the user chose one.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
