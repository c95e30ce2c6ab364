"""Adds retests to a study that exists, and trains them with this machine's workers.

Where the search is over, retests of the best settings and yours are queued, and train now. Where it
goes on, the wish is kept: which settings are the best is known at its end.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import quote

from lrsearch.errors import Refused
from lrsearch.launch.choosing import choose
from lrsearch.launch.retests import STOPPED, RetestsAdded, add_retests
from lrsearch.launch.starting import complete_study, further_workers, stored_study, train
from lrsearch.messages import Listener
from lrsearch.options import MachineOptions, RetestOptions, SearchOptions
from lrsearch.progress.listeners import silent, to_all
from lrsearch.values import StudyState


def retest(
    name: str,
    wanted: RetestOptions,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    plan_only: bool = False,
    study_file: str | Path | None = None,
    listen: Listener = silent,
) -> RetestsAdded:
    """Add retests to the study `name`, and train them with this machine's workers unless
    `plan_only`; returns what was done.

    A study that has finished is open again for them. Where its search is not over, or it was
    stopped, nothing is trained here. Of `search` only the accepted changes and versions count.

    Raises what `lrsearch.launch.attach` raises, and UnknownName or InvalidValue for a trial that
    cannot be retested.
    """
    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    with stored_study(name, machine) as (ledger, study):
        choice = choose(study, ledger.trials(study.id), wanted)
        over = ledger.search_is_over(study.id)
        if over and not choice.trials:
            raise _nothing_to_retest(name)
        if plan_only or not over or study.state in STOPPED:
            # its caller says what was done, in place of the answer
            return add_retests(ledger, study, wanted)
        left = choice.lacking + choice.waiting
        if not left:
            return add_retests(ledger, study, wanted, listen=listen)
        with further_workers(
            ledger, study, search, machine, study_file=study_file, listen=listen, left=left
        ) as (pool, slots):
            added = add_retests(ledger, study, wanted, listen=listen)
            if added.taken.over and added.study.state is StudyState.OPEN:
                train(pool, ledger, added.study, slots, listen)
        counts = ledger.counts(study.id)
    taken = replace(added.taken, waiting=counts.retests - counts.retests_done)
    return replace(added, study=complete_study(name, machine), taken=taken)


def _nothing_to_retest(name: str) -> Refused:
    none = f"no trial of study {name!r} ran to its end with a value: there is nothing to retest."
    return Refused(f"{none} See lrsearch trials {quote(name)}.")
