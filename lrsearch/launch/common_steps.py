"""The steps that starting a study, attaching to one and retesting share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.answer import prepare_answer
from lrsearch.errors import LrSearchError, StudyFileError
from lrsearch.events import Listener
from lrsearch.launch.attempt_closer import AttemptCloser
from lrsearch.launch.checking import check_identity, refuse_broken
from lrsearch.launch.database import open_database
from lrsearch.launch.pool import Pool
from lrsearch.launch.worker_count import keep_threads, left_of_phase, plan_further
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import send_note
from lrsearch.progress.study_watcher import StudyWatcher
from lrsearch.setup.checkpoint_folder import checkpoint_root
from lrsearch.setup.slots import SlotPlan
from lrsearch.values import Json, StudyRecord
from lrsearch.worker.config import CHECKPOINT_SECONDS, CheckpointPolicy, WorkerConfig

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def find_file(study: StudyRecord, given: str | Path | None) -> Path:
    """Find a stored study's file on this machine.

    Takes the `given` path, else the path that the study was started with, relative to
    the working folder. Raises StudyFileError.
    """
    text = given if given is not None else study.plan.study_file
    if text is None:
        fix = "Write its definition to a file and give it with --study-file."
        raise StudyFileError(
            f"study {study.name!r} was defined in a notebook.", fix=fix
        )
    path = Path(text).expanduser()
    if not path.is_file():
        fix = "Go to the folder that it was started from, or give --study-file."
        what = f"the file of study {study.name!r}, {str(path)!r}, is not here."
        raise StudyFileError(what, fix=fix)
    return path.resolve()


def make_worker_config(
    machine: MachineOptions, *, study_file: Path | None, overrides: Mapping[str, Json]
) -> WorkerConfig:
    """Make the configuration that all workers of this machine share."""
    url = machine.url
    return WorkerConfig(
        storage=url,
        study_file=None if study_file is None else str(study_file),
        checkpoints=str(checkpoint_root(machine.checkpoints, url)),
        overrides=overrides,
        engine=machine.engine,
        engine_factory=machine.engine_factory,
        checkpoint_policy=CheckpointPolicy(
            every_seconds=machine.checkpoint_every or CHECKPOINT_SECONDS,
            quota_bytes=machine.checkpoint_quota,
        ),
        until=machine.until,
    )


@contextmanager
def open_stored_study(
    name: str, machine: MachineOptions
) -> Iterator[tuple[Ledger, StudyRecord]]:
    """Open the ledger and the study of that name; make no database.

    Raises UnknownName, StudyBroken.
    """
    from lrsearch.storage import open_ledger

    with open_ledger(machine.url) as ledger:
        study = ledger.study(name)
        refuse_broken(study)
        yield ledger, study


@contextmanager
def start_workers(
    ledger: Ledger,
    study: StudyRecord,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    study_file: str | Path | None,
    listen: Listener,
    left: int | None = None,
    leave_by: float | None = None,
) -> Iterator[tuple[Pool, SlotPlan]]:
    """Start this machine's workers for a stored study, and check that the file is the study's.

    `left` is the number of trainings to come; by default it follows from the budget.
    """
    slots = plan_further(machine, ledger, study, left or left_of_phase(ledger, study))
    path = find_file(study, study_file)
    config = make_worker_config(
        machine, study_file=path, overrides=study.plan.overrides
    )
    config = replace(config, leave_by=leave_by)
    with Pool(slots.slots, config, listen, trial_timeout=machine.trial_timeout) as pool:
        check_identity(ledger, study, pool.inspect().facts, search, listen=listen)
        yield pool, slots


def train(
    pool: Pool, ledger: Ledger, study: StudyRecord, slots: SlotPlan, listen: Listener
) -> None:
    """Let `pool`, which has these `slots`, train `study`, and report the study's progress."""
    send_note(listen, str(slots))
    keep_threads(ledger, study, slots)
    watcher = StudyWatcher(ledger, study, listen, workers=len(slots.slots))
    watcher.begin()

    def poll() -> None:
        watcher.look()
        # once, while the workers train: nobody waits for the imports at the end
        prepare_answer()

    pool.poll, pool.first_listener = poll, watcher.handle
    # After an interruption the next process completes Optuna's rows.
    pool.work(study.name, AttemptCloser(ledger, study.id))
    watcher.end()


def complete_study(name: str, machine: MachineOptions) -> StudyRecord:
    """Complete Optuna's rows of a study that ended well, its page there, and return the study.

    The pool has left by then with its signal handlers: a Ctrl-C ends this step like any
    program.
    """
    from lrsearch.report.optuna_page import show_in_optuna
    from lrsearch.report.reading import read_answer
    from lrsearch.storage import Mirror

    with open_database(machine.url) as ledger:
        study = ledger.study(name)
        with suppress(LrSearchError):  # a later command completes the rows
            mirror = Mirror(ledger)
            mirror.complete(study.id)
            records = ledger.trials(study.id)
            answer = read_answer(ledger, study, records)
            show_in_optuna(ledger, mirror, study, records, answer, last=True)
        return study
