"""Starts a study: inspect, create, train.

The parent never imports TensorFlow. Cheap checks come before any process starts, and
the database is written only after the study file's inspection.
"""

from __future__ import annotations

from pathlib import Path

from lrsearch.answer.words import count_text
from lrsearch.events import Listener
from lrsearch.launch.checking import check_methods
from lrsearch.launch.common_steps import complete_study, make_worker_config, train
from lrsearch.launch.creating import create_or_resume, find_study, make_plan
from lrsearch.launch.database import open_database
from lrsearch.launch.pool import Pool
from lrsearch.launch.worker_count import plan_workers
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import ignore, protect_training, send_note
from lrsearch.values import StudyRecord


def run_study(
    study_file: str | Path,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    create_only: bool = False,
    listen: Listener = ignore,
) -> StudyRecord:
    """Search the study of `study_file` with worker processes until its budget is spent.

    A stored study of that name goes on, if its definition is the same. With
    `create_only` the study is created and nothing is trained; a stored one is not
    changed. Returns the study afterwards.

    Raises CallerError (bad input, broken study file), EnvironmentProblem (database,
    devices), Refused (the stored study has another definition), StudyBroken (the
    study's code fails on every trial), Interrupted (a signal; trials are back in the
    queue).
    """
    from lrsearch.definition import check_backend, check_file, study_name

    listen = protect_training(listen)
    check_backend()
    path, url = check_file(study_file), machine.url
    name = study_name(path, search.name)
    slots = plan_workers(machine, search, url=url, name=name)
    config = make_worker_config(machine, study_file=path, overrides=search.overrides)
    used = slots.slots[:1] if create_only else slots.slots
    with Pool(used, config, listen, trial_timeout=machine.trial_timeout) as pool:
        # here: while TensorFlow loads in the workers
        from lrsearch.storage import check_storage

        check_storage(url)
        inspection = pool.inspect()
        for note in inspection.facts.notes:
            send_note(listen, note)
        check_methods(search, inspection.facts)
        plan = make_plan(search, name, str(study_file), inspection)
        with open_database(url) as ledger:
            stored = create_only and find_study(ledger, name) is not None
            study = create_or_resume(
                ledger, search, plan, resume=not create_only, listen=listen
            )
            if stored:
                send_note(listen, _describe_unchanged(study))
            if create_only:
                return study
            train(pool, ledger, study, slots, listen)
    return complete_study(name, machine)


def _describe_unchanged(study: StudyRecord) -> str:
    budget = (
        "any number of trials"
        if study.trials is None
        else count_text(study.trials, "trial")
    )
    stands = f"{study.state.value}, with a budget of {budget}"
    return f"{study.name} is there already and stays as it is: {stands}"
