"""Attaches more workers to a study that exists, from this machine or another."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from lrsearch.launch.starting import complete_study, further_workers, stored_study, train
from lrsearch.messages import Event, Listener, Note
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import silent, to_all
from lrsearch.values import StudyRecord, StudyState


def attach(
    name: str,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    study_file: str | Path | None = None,
    listen: Listener = silent,
) -> StudyRecord:
    """Train trials of the study `name` with this machine's workers; returns the study as it stands
    then.

    The study file must be on this machine; the options that the study was started with are applied
    again. Of `search` only the accepted changes and versions count.

    Raises UnknownName, StudyFileError, EnvironmentProblem, FingerprintMismatch where the file is
    another one here, VersionMismatch where the libraries are, StudyBroken, Interrupted.
    """
    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    with stored_study(name, machine) as (ledger, study):
        if study.state is StudyState.FINISHED:
            more = f"{name} is finished; lrsearch extend {quote(name)} --trials N gives it more."
            listen(Event(message=Note(text=more)))
            return study
        with further_workers(
            ledger, study, search, machine, study_file=study_file, listen=listen
        ) as (pool, slots):
            train(pool, ledger, study, slots, listen)
    return complete_study(name, machine)
