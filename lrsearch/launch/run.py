"""Starts a study: inspect, create, work, wait. One page; the parts are elsewhere.

The parent never imports TensorFlow. Whatever can be refused cheaply is refused before any process starts, and nothing is
written to the database before the study file has been inspected.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.answer import prepare_answer
from lrsearch.errors import LrSearchError, StudyFileError
from lrsearch.launch.devices import plan_slots, this_machine
from lrsearch.launch.events import Event, Listener, silent
from lrsearch.launch.parent import LedgerUndertaker, Watcher, check_storage, config_of, opened
from lrsearch.launch.pool import Pool
from lrsearch.launch.request import Request, check_methods, create_or_resume
from lrsearch.launch.slots import SlotChoice, alternatives
from lrsearch.values import Json, StudyRecord

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def run_study(
    study_file: str | Path,
    *,
    name: str | None = None,
    storage: str | None = None,
    overrides: Mapping[str, Json] | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    seed: int | None = None,
    retest: int | None = None,
    retries: int | None = None,
    devices: str | None = None,
    workers: int | None = None,
    per_device: int | None = None,
    engine: str = "auto",
    trial_timeout: float | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_every: float | None = None,
    checkpoint_quota: int | None = None,
    allow_version_drift: bool = False,
    create_only: bool = False,
    listen: Listener = silent,
    engine_factory: str | None = None,
) -> StudyRecord:
    """Search the study of `study_file` with worker processes until its budget is spent; returns it as it stands then.

    A study of that name that exists goes on where it stood, if its definition is the same. Times are in seconds. With
    `create_only` the study is made and nothing is trained.

    Raises CallerError (bad input, broken study file), EnvironmentProblem (database, devices), Refused (the stored study is
    another one), StudyBroken (its code fails on every trial), Interrupted (a signal; trials are back in the queue).
    """
    from lrsearch.definition import check_backend, check_study_name, study_name
    from lrsearch.storage import resolve_url

    request = Request(
        trials=trials,
        timeout=timeout,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        retest=retest,
        retries=retries,
        overrides=overrides or {},
        allow_version_drift=allow_version_drift,
    )
    check_backend()
    path = check_file(study_file)
    name = study_name(path) if name is None else check_study_name(name) or name
    url = resolve_url(storage, os.environ)
    machine = this_machine()
    slots = plan_slots(machine, devices=devices, workers=workers, per_device=per_device, trials=request.total)
    others = alternatives(machine, slots, workers=workers, engine=engine)
    config = config_of(
        url, path, request.overrides, engine, engine_factory, checkpoints, every=checkpoint_every, quota=checkpoint_quota
    )
    with Pool(slots[:1] if create_only else slots, config, listen, trial_timeout=trial_timeout) as pool:
        check_storage(url)  # while TensorFlow loads in the workers
        found = pool.inspect()
        for note in found.facts.notes:
            listen(Event(name="note", facts={"text": note}))
        check_methods(request, found.facts)
        with opened(url) as ledger:
            study = create_or_resume(ledger, request, name, str(study_file), found)
            if not create_only:
                with SlotChoice(pool=pool, others=others, ledger=ledger, study=study, listen=listen).settled() as chosen:
                    work_with(chosen, ledger, study, listen)
            return ledger.study(name)


def work_with(pool: Pool, ledger: Ledger, study: StudyRecord, listen: Listener) -> None:
    """Let `pool` train `study`, telling how it stands; at a good end Optuna's rows have followed the ledger."""
    watcher = Watcher(ledger, study, listen)
    watcher.begin()

    def tick() -> None:
        watcher.look()
        prepare_answer()  # once, while the workers train: at the end everybody would wait for it

    pool.tick, pool.before = tick, watcher.hear
    pool.work(study.name, LedgerUndertaker(ledger, study.id))  # an interruption leaves Optuna's rows to whoever goes on
    from lrsearch.storage import Mirror

    with suppress(LrSearchError):  # any later look completes it
        Mirror(ledger).complete(study.id)


def check_file(study_file: str | Path) -> Path:
    """The study file as an absolute path. Raises StudyFileError where there is none."""
    path = Path(study_file).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise StudyFileError(f"study file {str(study_file)!r} {what}.", fix="Write one with: lrsearch new-study FILE.py")
    return path.resolve()
