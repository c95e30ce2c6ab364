"""How many workers a study gets on this machine, by what it has left to train and the threads that
it began with.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.budget import expected_retests
from lrsearch.launch.creating import find_study
from lrsearch.launch.database import check_storage, ledger_at
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.setup.devices import this_machine
from lrsearch.setup.slots import SlotPlan, plan_slots
from lrsearch.values import StudyRecord

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def plan_workers(
    machine: MachineOptions, search: SearchOptions, *, url: str, name: str
) -> SlotPlan:
    """The workers of a study that may be in the database already.

    Raises StorageProblem or SchemaMismatch where the database cannot be used.
    """
    if is_there(url):
        with ledger_at(url) as ledger:
            study = find_study(ledger, name)
            if study is not None:
                total = search.trials if search.trainings is None else search.total
                left = trainings_left(ledger, study, total=total, seeds=search.retest or 0)
                return plan_further(machine, ledger, study, left)
    return plan_slots(this_machine(), machine, trials=search.total)


def plan_further(
    machine: MachineOptions, ledger: Ledger, study: StudyRecord, left: int | None
) -> SlotPlan:
    """The workers of a study that goes on, with the threads that it had while a trial may have to
    be resumed. `left` is how many trainings there are to come.
    """
    may_resume = study.plan.facts.exact_order and _in_progress(ledger, study)
    kept = study.threads if may_resume else None
    plan = plan_slots(this_machine(), machine, trials=left, kept=kept)
    # version 0.1.0 noted it for some engines alone
    if may_resume and study.threads is None and plan.threads is not None:
        unknown = "how many threads the study began with is not known"
        reason = f"{plan.reason}; {unknown}, so what was interrupted may not resume bitwise"
        return replace(plan, reason=reason)
    return plan


def _in_progress(ledger: Ledger, study: StudyRecord) -> bool:
    """Whether some trial has begun and not ended: it may have a checkpoint, or be put back with
    one.
    """
    return any(each.attempt and not each.state.terminal for each in ledger.trials(study.id))


def trainings_left(
    ledger: Ledger, study: StudyRecord, *, total: int | None = None, seeds: int = 0
) -> int | None:
    """Search trials that have not ended, or retests where all have; at least 1.

    `total` replaces the study's own budget, and `seeds` its retests' where more are asked for. None
    where time alone limits the study.
    """
    counts, budget = ledger.counts(study.id), study.trials if total is None else total
    if budget is None:
        return None
    if counts.done < budget:
        return budget - counts.done
    settings = study.plan.retest_top + 1
    usual, wanted = (
        expected_retests(counts.done, each, study.trainings, settings=settings)
        for each in (study.plan.retest_seeds, seeds)
    )
    retests = max(counts.retests or usual, wanted)
    return max(1, retests - counts.retests_done)


def keep_threads(ledger: Ledger, study: StudyRecord, plan: SlotPlan) -> None:
    """Note the threads of this plan's CPU workers with the study, where a resume is bitwise under
    the same number.
    """
    if plan.threads not in {None, study.threads} and study.plan.facts.exact_order:
        ledger.keep_threads(study.id, plan.threads)


def is_there(url: str) -> bool:
    """Whether the database has our tables.

    A SQLite file that is not there is no reason to load SQLAlchemy's half second.
    """
    kind, _, place = url.partition(":///")
    if kind.startswith("sqlite") and place and not Path(place.partition("?")[0]).exists():
        return False
    return check_storage(url)
