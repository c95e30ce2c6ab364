"""Trains equal numbers of quasi-random trials of each arm, in a companion study.

The companion is a study of its own, beside the one that it belongs to: same definition,
no yours, no references, no retests. Trial after trial each arm has its turn, so that
the numbers are equal.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.answer.arms import arm_names
from lrsearch.errors import InvalidValue
from lrsearch.events import Listener
from lrsearch.launch.checking import refuse_broken
from lrsearch.launch.common_steps import (
    complete_study,
    open_stored_study,
    start_workers,
    train,
)
from lrsearch.launch.creating import find_study
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import ignore, protect_training
from lrsearch.values import StudyPlan, StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def companion_name(study: str, by: str) -> str:
    """The name of the companion whose arms are the choices of `by`."""
    return f"{study}-by-{by}"


def find_companion(ledger: Ledger, study: StudyRecord, by: str) -> StudyRecord | None:
    """The study's companion; None where it has none."""
    found = find_study(ledger, companion_name(study.name, by))
    return found if found is not None and found.plan.balanced == by else None


def top_up(
    name: str,
    each: int,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    by: str,
    study_file: str | Path | None = None,
    listen: Listener = ignore,
) -> StudyRecord:
    """Train until each arm of the study `name` has `each` trials in its companion.

    Only the accepted changes and versions of `search` count. Returns the companion.
    Raises the errors of `lrsearch.launch.attach`, and InvalidValue where there is one
    arm only.
    """
    listen = protect_training(listen)
    with open_stored_study(name, machine) as (ledger, study):
        arms = arm_names(study, by)
        if len(arms) < 2:  # noqa: PLR2004 - nothing to compare
            allowed = (
                f"what study {name!r} searches several of; it has {len(arms)} {by}"
            )
            other = "schedule" if by == "optimizer" else "optimizer"
            raise InvalidValue(
                "--by", got=by, allowed=allowed, fix=f"Try --by {other}."
            )
        total, known = each * len(arms), _known(ledger, study, by)
        left = total - (0 if known is None else ledger.counts(known.id).done)
        if known is not None and left <= 0:
            return known
        with start_workers(
            ledger,
            study,
            search,
            machine,
            study_file=study_file,
            listen=listen,
            left=left,
        ) as (pool, slots):
            companion = _open(ledger, study, known, total=total, by=by)
            train(pool, ledger, companion, slots, listen)
    return complete_study(companion.name, machine)


def _known(ledger: Ledger, study: StudyRecord, by: str) -> StudyRecord | None:
    """The companion that there is. Raises InvalidValue where another study has its name."""
    name = companion_name(study.name, by)
    found = find_study(ledger, name)
    if found is not None and found.plan.balanced != by:
        fix = f"Another study has it: delete {name!r}, or compare another study."
        raise InvalidValue(
            "companion", got=name, allowed="a name that is free", fix=fix
        )
    if found is not None:
        refuse_broken(found)
    return found


def _open(
    ledger: Ledger,
    study: StudyRecord,
    known: StudyRecord | None,
    *,
    total: int,
    by: str,
) -> StudyRecord:
    """Make the companion, or let it go on up to `total` trials."""
    if known is None:
        return ledger.create_study(companion_plan(study, total=total, by=by))
    ledger.set_budget(known.id, trials=max(total, known.trials or 0))
    ledger.set_state(known.id, StudyState.OPEN)
    return ledger.study(known.name)


def companion_plan(study: StudyRecord, *, total: int, by: str) -> StudyPlan:
    """The plan of a study's companion."""
    return replace(
        study.plan,
        name=companion_name(study.name, by),
        sampler="qmc",
        pruner="none",
        balanced=by,
        trials=total,
        trainings=None,
        timeout_seconds=None,
        retest_seeds=0,
        retest_total=None,
        retests_only=False,
        first=(),
    )
