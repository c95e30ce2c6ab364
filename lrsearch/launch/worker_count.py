"""Decides how many workers and threads a study gets on this machine.

The numbers depend on the trainings that are left and on the threads that the study
began with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lrsearch.budget import expected_retests
from lrsearch.launch.creating import find_study
from lrsearch.launch.database import has_tables, open_database
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.setup.devices import inspect_machine
from lrsearch.setup.slots import SlotPlan, plan_slots
from lrsearch.values import StudyRecord

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def plan_workers(
    machine: MachineOptions, search: SearchOptions, *, url: str, name: str
) -> SlotPlan:
    """Plan the workers of a study, new or stored.

    Raises StorageProblem or SchemaMismatch where the database cannot be used.
    """
    if has_tables(url):
        with open_database(url) as ledger:
            study = find_study(ledger, name)
            if study is not None:
                total = search.trials if search.trainings is None else search.total
                left = left_of_phase(
                    ledger, study, total=total, seeds=search.retest or 0
                )
                return plan_further(machine, ledger, study, left)
    return plan_slots(inspect_machine(), machine, trials=search.total)


def plan_further(
    machine: MachineOptions, ledger: Ledger, study: StudyRecord, left: int | None
) -> SlotPlan:
    """Plan the workers of a stored study with `left` trainings to come.

    The workers keep the study's threads where a trial may have to be resumed.
    """
    may_resume = study.facts.exact_order and _in_progress(ledger, study)
    kept = study.threads if may_resume else None
    plan = plan_slots(inspect_machine(), machine, trials=left, kept=kept)
    # Version 0.1.0 stored the threads for some engines only.
    if may_resume and study.threads is None and plan.threads is not None:
        unknown = "how many threads the study began with is not known"
        reason = (
            f"{plan.reason}; {unknown}, so what was interrupted may not resume bitwise"
        )
        return replace(plan, reason=reason)
    return plan


def _in_progress(ledger: Ledger, study: StudyRecord) -> bool:
    """Whether some trial has begun and not ended, and may thus have a checkpoint."""
    return any(each.attempt and not each.ended for each in ledger.trials(study.id))


def left_of_phase(
    ledger: Ledger, study: StudyRecord, *, total: int | None = None, seeds: int = 0
) -> int | None:
    """Count the search trials that have not ended, or else the retests; at least 1.

    Retests begin after the last search trial, so that trials and retests never train
    side by side. `total` replaces the study's own budget, and `seeds` the study's seeds
    for retests where they are more. None where time alone limits the study.
    """
    counts, budget = ledger.counts(study.id), study.trials if total is None else total
    if budget is None:
        return None
    if counts.done < budget:
        return budget - counts.done
    settings = study.plan.retest_top + 1
    planned, wanted = (
        expected_retests(counts.done, repeats, study.trainings, settings=settings)
        for repeats in (study.plan.retest_seeds, seeds)
    )
    retests = max(counts.retests or planned, wanted)
    return max(1, retests - counts.retests_done)


def keep_threads(ledger: Ledger, study: StudyRecord, plan: SlotPlan) -> None:
    """Store the threads of this plan's CPU workers, where a bitwise resume depends on them."""
    if plan.threads not in {None, study.threads} and study.facts.exact_order:
        ledger.keep_threads(study.id, plan.threads)
