"""Creates the study of a search, or opens the stored one again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from lrsearch.answer.words import count_text
from lrsearch.budget import count_references
from lrsearch.errors import UnknownName
from lrsearch.events import Listener
from lrsearch.launch.checking import check_identity, check_same, refuse_broken
from lrsearch.launch.queueing import add_retests
from lrsearch.launch.retest_choice import check_folds
from lrsearch.messages import Inspection
from lrsearch.options import RetestOptions, SearchOptions
from lrsearch.progress.listeners import ignore, send_note
from lrsearch.values import Origin, Setting, StudyPlan, StudyRecord, StudyState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrsearch.storage import Ledger

RETRIES = 2
# Optimizers of the default space by what their references taught. A search tries the
# first three alone: docs/benchmarks.md has other orders and numbers, under small
# budgets.
TRIED_FIRST = ("adamw", "momentum", "rmsprop", "adam", "sgd", "adagrad")


def make_plan(
    search: SearchOptions, name: str, study_file: str | None, inspection: Inspection
) -> StudyPlan:
    """Make the plan of a new study.

    Raises InvalidValue where retests would not be on every fold alike.
    """
    search = _on_all_folds(search, inspection.facts.folds)
    references = choose_references(
        inspection.references, search.total, inspection.facts.yours
    )
    return StudyPlan(
        name=name,
        study_file=study_file,
        facts=inspection.facts,
        overrides=search.overrides,
        dimensions=inspection.dimensions,
        sampler=search.sampler or "auto",
        pruner=search.pruner or "auto",
        seed=inspection.seed if search.seed is None else search.seed,
        trials=search.total,
        timeout_seconds=search.timeout,
        retest_seeds=search.seeds,
        retries=RETRIES if search.retries is None else search.retries,
        first=(
            (Origin.YOURS, inspection.facts.yours),
            *((Origin.REFERENCE, each) for each in references),
        ),
        trainings=search.trainings,
    )


def choose_references(
    references: Sequence[Setting], trials: int | None, yours: Setting
) -> list[Setting]:
    """The references that a search of so many trials tries, in their order.

    Trial 0 shows the optimizer of yours already, so its reference comes last.
    """
    order = {name: place for place, name in enumerate(TRIED_FIRST)}

    def rank(setting: Setting) -> tuple[bool, int]:
        return setting.optimizer == yours.optimizer, order.get(
            setting.optimizer, len(order)
        )

    return sorted(references, key=rank)[: count_references(trials, len(references))]


def _on_all_folds(search: SearchOptions, folds: int | None) -> SearchOptions:
    """The options with retests on every fold."""
    if folds is None:
        return search
    if search.retest is None:
        return replace(search, retest=folds)
    check_folds(search.retest, folds, "--retest")
    return search


def create_or_resume(
    ledger: Ledger,
    search: SearchOptions,
    plan: StudyPlan,
    *,
    resume: bool = True,
    listen: Listener = ignore,
) -> StudyRecord:
    """Create the study of `plan`, or open the stored one of that name again.

    A budget in `search` replaces a stored study's own. Without `resume` a stored study
    is compared with the plan, and keeps its state, budget and end.

    Raises FingerprintMismatch for another definition, sampler, pruner, seed or number
    of retries than the stored ones, and StudyBroken for a broken study with nothing
    left to train.
    """
    known = find_study(ledger, plan.name)
    if known is not None:
        check_same(known, search)
        check_identity(ledger, known, plan.facts, search, listen=listen)
    study = ledger.create_study(plan, began=search.began)
    if known is None or not resume:
        return study
    trials, trainings, timeout = search.trials, search.trainings, search.timeout
    if (trials, trainings, timeout) != (None, None, None):
        ledger.set_budget(
            study.id,
            trials=trials,
            trainings=trainings,
            timeout_seconds=timeout,
            began=search.began,
        )
    if study.state is not StudyState.FINISHED:
        ledger.set_state(study.id, StudyState.OPEN)
        refuse_broken(ledger.study(plan.name))
    if search.retest is not None:
        _raise_seeds(ledger, ledger.study(plan.name), search.retest, listen)
    return ledger.study(plan.name)


def _raise_seeds(
    ledger: Ledger, study: StudyRecord, seeds: int, listen: Listener
) -> None:
    """Raise the study's seeds for retests to `seeds`, after its end too; never lower them."""
    kept = study.plan.retest_seeds
    if seeds > kept:
        add_retests(
            ledger, study, RetestOptions(seeds=seeds, lasting=True), listen=listen
        )
    elif seeds < kept:
        keeps = f"{study.name} keeps its {count_text(kept, 'seed')} for retests"
        send_note(listen, f"{keeps}: --retest {seeds} takes none back")


def find_study(ledger: Ledger, name: str) -> StudyRecord | None:
    """Find the study of that name; None where there is none."""
    with suppress(UnknownName):
        return ledger.study(name)
    return None
