"""Attaches more workers to a study that exists, from this machine or another."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from lrsearch.events import Listener
from lrsearch.launch.common_steps import (
    complete_study,
    open_stored_study,
    start_workers,
    train,
)
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import ignore, protect_training, send_note
from lrsearch.values import StudyRecord, StudyState


def attach(
    name: str,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    study_file: str | Path | None = None,
    leave_by: float | None = None,
    listen: Listener = ignore,
) -> StudyRecord:
    """Train trials of the study `name` with this machine's workers.

    The study file must be on this machine. The study keeps the options that it was
    started with; only the accepted changes and versions of `search` count. The workers
    leave by `leave_by` (seconds since 1970), where it is given, and their work is
    saved. Returns the study afterwards.

    Raises UnknownName, StudyFileError, EnvironmentProblem, FingerprintMismatch for
    another study file, VersionMismatch for other libraries, StudyBroken, Interrupted.
    """
    listen = protect_training(listen)
    with open_stored_study(name, machine) as (ledger, study):
        if study.state is StudyState.FINISHED:
            more = f"{name} is finished; lrsearch extend {quote(name)} --trials N gives it more."
            send_note(listen, more)
            return study
        with start_workers(
            ledger, study, search, machine,
            study_file=study_file, leave_by=leave_by, listen=listen,
        ) as (pool, slots):  # fmt: skip
            train(pool, ledger, study, slots, listen)
    return complete_study(name, machine)
