"""The study that a search comes to: a new one, or the stored one opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.answer.words import count_text
from lrsearch.errors import UnknownName
from lrsearch.launch.checking import check_identity, check_same, refuse_broken
from lrsearch.launch.retests import add_retests
from lrsearch.messages import Event, Inspection, Listener, Note
from lrsearch.options import RetestOptions, SearchOptions
from lrsearch.progress.listeners import silent
from lrsearch.values import Origin, StudyPlan, StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

RETRIES = 2


def new_plan(
    search: SearchOptions, name: str, study_file: str | None, found: Inspection
) -> StudyPlan:
    """The plan of a new study."""
    references = ((Origin.REFERENCE, each) for each in found.references)
    return StudyPlan(
        name=name,
        study_file=study_file,
        facts=found.facts,
        overrides=search.overrides,
        dimensions=found.dimensions,
        sampler=search.sampler or "tpe",
        pruner=search.pruner or "none",
        seed=found.seed if search.seed is None else search.seed,
        trials=search.total,
        timeout_seconds=search.timeout,
        retest_seeds=search.seeds,
        retries=RETRIES if search.retries is None else search.retries,
        first=((Origin.YOURS, found.facts.yours), *references),
        trainings=search.trainings,
    )


def create_or_resume(
    ledger: Ledger,
    search: SearchOptions,
    plan: StudyPlan,
    *,
    resume: bool = True,
    listen: Listener = silent,
) -> StudyRecord:
    """The study of that name: made by `plan`, or the stored one, opened again.

    What is asked anew of a stored study replaces its budget.
    Without `resume` a stored study is compared and stays as it is: its state, its budget and its
    end.

    Raises FingerprintMismatch where the stored one has another definition, sampler, pruner, seed or
    number of retries, and StudyBroken where it is broken and has nothing left to train.
    """
    known = find_study(ledger, plan.name)
    if known is not None:
        check_same(known, search)
        check_identity(ledger, known, plan.facts, search, listen=listen)
    study = ledger.create_study(plan, began=search.began)
    if known is None or not resume:
        return study
    if any(each is not None for each in (search.trials, search.trainings, search.timeout)):
        ledger.set_budget(
            study.id,
            trials=search.trials,
            trainings=search.trainings,
            timeout_seconds=search.timeout,
            began=search.began,
        )
    if study.state is not StudyState.FINISHED:
        ledger.set_state(study.id, StudyState.OPEN)
        refuse_broken(ledger.study(plan.name))
    if search.retest is not None:
        _raise_seeds(ledger, ledger.study(plan.name), search.retest, listen)
    return ledger.study(plan.name)


def _raise_seeds(ledger: Ledger, study: StudyRecord, seeds: int, listen: Listener) -> None:
    """Retest on so many seeds where the study has fewer, after its end too; never on fewer than it
    has.
    """
    kept = study.plan.retest_seeds
    if seeds > kept:
        add_retests(ledger, study, RetestOptions(seeds=seeds, lasting=True), listen=listen)
    elif seeds < kept:
        keeps = f"{study.name} keeps its {count_text(kept, 'seed')} for retests"
        text = f"{keeps}: --retest {seeds} takes none back"
        listen(Event(message=Note(text=text)))


def find_study(ledger: Ledger, name: str) -> StudyRecord | None:
    """The study of that name, or None."""
    try:
        return ledger.study(name)
    except UnknownName:
        return None
