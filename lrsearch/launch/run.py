"""Starts a study: inspect, create, work, wait. One page; the parts are elsewhere.

The parent never imports TensorFlow. Whatever can be refused cheaply is refused before any process
starts, and nothing is written to the database before the study file has been inspected.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.answer import prepare_answer
from lrsearch.errors import LrSearchError, StudyFileError
from lrsearch.launch.devices import this_machine
from lrsearch.launch.events import silent, to_all
from lrsearch.launch.parent import LedgerUndertaker, Watcher, check_storage, config_of, opened
from lrsearch.launch.planning import keep_threads, plan_workers
from lrsearch.launch.pool import Pool
from lrsearch.launch.request import Request, check_methods, create_or_resume, stored
from lrsearch.launch.slots import SlotPlan, SlotRequest
from lrsearch.messages import Event, Listener, Note
from lrsearch.report.words import counted
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
    trainings: int | None = None,
    timeout: float | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    seed: int | None = None,
    retest: int | None = None,
    retries: int | None = None,
    devices: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    per_device: int | None = None,
    engine: str = "auto",
    trial_timeout: float | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_every: float | None = None,
    checkpoint_quota: int | None = None,
    allow_version_drift: bool = False,
    accept_change: Sequence[str] = (),
    create_only: bool = False,
    began: float | None = None,
    listen: Listener = silent,
    engine_factory: str | None = None,
) -> StudyRecord:
    """Search the study of `study_file` with worker processes until its budget is spent; returns it
    as it stands then.

    A study of that name that exists goes on where it stood, if its definition is the same. Times
    are in seconds; `timeout` counts from `began`, by the monotonic clock, which is now where it is
    None. With `create_only` the study is made and nothing is trained; one that exists is not
    changed.

    Raises CallerError (bad input, broken study file), EnvironmentProblem (database, devices),
    Refused (the stored study is another one), StudyBroken (its code fails on every trial),
    Interrupted (a signal; trials are back in the queue).
    """
    from lrsearch.definition import check_backend, check_study_name, study_name
    from lrsearch.storage import resolve_url

    request = Request(
        trials=trials,
        trainings=trainings,
        timeout=timeout,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        retest=retest,
        retries=retries,
        overrides=overrides or {},
        allow_version_drift=allow_version_drift,
        began=time.monotonic() if began is None else began,
        accept_change=tuple(accept_change),
    )
    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    asked = SlotRequest(devices=devices, workers=workers, threads=threads, per_device=per_device)
    check_backend()
    path = check_file(study_file)
    name = study_name(path) if name is None else check_study_name(name) or name
    url = resolve_url(storage, os.environ)
    plan = plan_workers(this_machine(), asked, request, url=url, name=name)
    config = config_of(
        url,
        path,
        request.overrides,
        engine,
        engine_factory,
        checkpoints,
        every=checkpoint_every,
        quota=checkpoint_quota,
    )
    slots = plan.slots[:1] if create_only else plan.slots
    with Pool(slots, config, listen, trial_timeout=trial_timeout) as pool:
        check_storage(url)  # while TensorFlow loads in the workers
        found = pool.inspect()
        for note in found.facts.notes:
            listen(Event(message=Note(text=note)))
        check_methods(request, found.facts)
        with opened(url) as ledger:
            there = stored(ledger, name) if create_only else None
            study = create_or_resume(
                ledger, request, name, str(study_file), found, resume=not create_only, listen=listen
            )
            if there is not None:
                listen(Event(message=Note(text=_left_alone(study))))
            if create_only:
                return study
            work_with(pool, ledger, study, plan, listen)
    return completed(url, name)


def work_with(
    pool: Pool, ledger: Ledger, study: StudyRecord, plan: SlotPlan, listen: Listener
) -> None:
    """Let `pool`, made by `plan`, train `study`, telling how it stands."""
    listen(Event(message=Note(text=str(plan))))
    keep_threads(ledger, study, plan)
    watcher = Watcher(ledger, study, listen, workers=len(plan.slots))
    watcher.begin()

    def tick() -> None:
        watcher.look()
        prepare_answer()  # once, while the workers train: at the end everybody would wait for it

    pool.tick, pool.before = tick, watcher.hear
    # an interruption leaves Optuna's rows to whoever goes on
    pool.work(study.name, LedgerUndertaker(ledger, study.id))
    watcher.end()


def completed(url: str, name: str) -> StudyRecord:
    """The study after a good end, with Optuna's rows in step with the ledger.

    The pool is left by then, and its signal handlers with it: a Ctrl-C ends this as it ends any
    program.
    """
    from lrsearch.storage import Mirror

    with opened(url) as ledger:
        study = ledger.study(name)
        with suppress(LrSearchError):  # any later look completes it
            Mirror(ledger).complete(study.id)
        return study


def _left_alone(study: StudyRecord) -> str:
    budget = "any number of trials" if study.trials is None else counted(study.trials, "trial")
    return f"{study.name} is there already and stays as it is: {study.state.value}, with a budget of {budget}"


def check_file(study_file: str | Path) -> Path:
    """The study file as an absolute path. Raises StudyFileError where there is none."""
    path = Path(study_file).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise StudyFileError(
            f"study file {str(study_file)!r} {what}.",
            fix="Write one with: lrsearch new-study FILE.py",
        )
    return path.resolve()
