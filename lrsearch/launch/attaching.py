"""Attaches more workers to a study that exists, from this machine or another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.errors import InvalidValue, StudyFileError
from lrsearch.launch.devices import this_machine
from lrsearch.launch.events import silent, to_all
from lrsearch.launch.parent import config_of
from lrsearch.launch.planning import plan_further
from lrsearch.launch.pool import Pool
from lrsearch.launch.request import broken, check_identity
from lrsearch.launch.run import completed, work_with
from lrsearch.launch.slots import SlotPlan, SlotRequest
from lrsearch.messages import Event, Listener, Note
from lrsearch.values import StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger
    from lrsearch.worker.config import WorkerConfig

UNTIL = ("done", "idle")


def attach(
    name: str,
    *,
    study_file: str | Path | None = None,
    storage: str | None = None,
    devices: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    per_device: int | None = None,
    until: str = "done",
    allow_version_drift: bool = False,
    accept_change: Sequence[str] = (),
    engine: str = "auto",
    trial_timeout: float | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_every: float | None = None,
    checkpoint_quota: int | None = None,
    listen: Listener = silent,
    engine_factory: str | None = None,
) -> StudyRecord:
    """Train trials of the study `name` with this machine's workers; returns the study as it stands
    then.

    `until` "done": until nothing is left of the study; "idle": until there is nothing to train now.
    The study file must be on this machine; the options that the study was started with are applied
    again.

    Raises UnknownName, StudyFileError, EnvironmentProblem, FingerprintMismatch where the file is
    another one here, VersionMismatch where the libraries are, StudyBroken, Interrupted.
    """
    from lrsearch.storage import open_ledger, resolve_url

    if until not in UNTIL:
        raise InvalidValue("--until", got=until, allowed=" or ".join(UNTIL))
    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    asked = SlotRequest(devices=devices, workers=workers, threads=threads, per_device=per_device)
    url = resolve_url(storage, os.environ)
    ledger = open_ledger(url)  # never makes a database: there is nothing to attach to in a new one
    try:
        study = ledger.study(name)
        if study.state is StudyState.FINISHED:
            listen(
                Event(
                    message=Note(
                        text=f"{name} is finished; lrsearch extend {quote(name)} --trials N gives it more."
                    )
                )
            )
            return study
        if study.state is StudyState.BROKEN:
            raise broken(study)
        slots = plan_further(this_machine(), asked, ledger, study)
        path, kept = file_of(study, study_file), study.plan.overrides
        config = config_of(
            url,
            path,
            kept,
            engine,
            engine_factory,
            checkpoints,
            every=checkpoint_every,
            quota=checkpoint_quota,
            until=until,
        )
        train_more(
            ledger,
            study,
            slots,
            config,
            listen,
            trial_timeout=trial_timeout,
            accept_change=accept_change,
            allow_version_drift=allow_version_drift,
        )
    finally:
        ledger.close()
    return completed(url, name)


def train_more(
    ledger: Ledger,
    study: StudyRecord,
    slots: SlotPlan,
    config: WorkerConfig,
    listen: Listener,
    *,
    trial_timeout: float | None,
    accept_change: Sequence[str],
    allow_version_drift: bool,
    begin: Callable[[], StudyRecord | None] | None = None,
) -> None:
    """Let this machine's workers train a study that exists, once their file is known to be the
    study's.

    Then `begin` is called first: it gives the study as it is to be trained, or None where nothing
    is.
    """
    with Pool(slots.slots, config, listen, trial_timeout=trial_timeout) as pool:
        check_identity(
            ledger,
            study,
            pool.inspect(),
            accept=accept_change,
            allow_drift=allow_version_drift,
            listen=listen,
        )
        begun = study if begin is None else begin()
        if begun is not None:
            work_with(pool, ledger, begun, slots, listen)


def file_of(study: StudyRecord, given: str | Path | None) -> Path:
    """The study file on this machine: as given, else where it was started from, seen from the
    working folder.
    """
    text = given if given is not None else study.plan.study_file
    if text is None:
        fix = "Write its definition to a file and give it with --study-file."
        raise StudyFileError(f"study {study.name!r} was defined in a notebook.", fix=fix)
    path = Path(text).expanduser()
    if not path.is_file():
        fix = "Go to the folder that it was started from, or give --study-file."
        raise StudyFileError(
            f"the file of study {study.name!r}, {str(path)!r}, is not here.", fix=fix
        )
    return path.resolve()
