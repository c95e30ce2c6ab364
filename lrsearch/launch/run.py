"""Starts a study: inspect, create, work, wait. One page; the parts are elsewhere.

The parent never imports TensorFlow. Whatever can be refused cheaply is refused before any process
starts, and nothing is written to the database before the study file has been inspected.
"""

from __future__ import annotations

from pathlib import Path

from lrsearch.answer.words import count_text
from lrsearch.launch.checking import check_methods
from lrsearch.launch.creating import create_or_resume, find_study, new_plan
from lrsearch.launch.database import check_storage, ledger_at
from lrsearch.launch.planning import plan_workers
from lrsearch.launch.pool import Pool
from lrsearch.launch.starting import check_file, complete_study, train, worker_config
from lrsearch.messages import Event, Listener, Note
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import silent, to_all
from lrsearch.values import StudyRecord


def run_study(
    study_file: str | Path,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    create_only: bool = False,
    listen: Listener = silent,
) -> StudyRecord:
    """Search the study of `study_file` with worker processes until its budget is spent; returns it
    as it stands then.

    A study of that name that exists goes on where it stood, if its definition is the same. With
    `create_only` the study is made and nothing is trained; one that exists is not changed.

    Raises CallerError (bad input, broken study file), EnvironmentProblem (database, devices),
    Refused (the stored study is another one), StudyBroken (its code fails on every trial),
    Interrupted (a signal; trials are back in the queue).
    """
    from lrsearch.definition import check_backend, study_name

    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    check_backend()
    path, url = check_file(study_file), machine.url
    name = study_name(path, search.name)
    slots = plan_workers(machine, search, url=url, name=name)
    config = worker_config(machine, study_file=path, overrides=search.overrides)
    used = slots.slots[:1] if create_only else slots.slots
    with Pool(used, config, listen, trial_timeout=machine.trial_timeout) as pool:
        check_storage(url)  # while TensorFlow loads in the workers
        found = pool.inspect()
        for note in found.facts.notes:
            listen(Event(message=Note(text=note)))
        check_methods(search, found.facts)
        plan = new_plan(search, name, str(study_file), found)
        with ledger_at(url) as ledger:
            if create_only:
                there = find_study(ledger, name) is not None
                study = create_or_resume(ledger, search, plan, resume=False, listen=listen)
                if there:
                    listen(Event(message=Note(text=_left_alone(study))))
                return study
            study = create_or_resume(ledger, search, plan, listen=listen)
            train(pool, ledger, study, slots, listen)
    return complete_study(name, machine)


def _left_alone(study: StudyRecord) -> str:
    budget = "any number of trials" if study.trials is None else count_text(study.trials, "trial")
    stands = f"{study.state.value}, with a budget of {budget}"
    return f"{study.name} is there already and stays as it is: {stands}"
