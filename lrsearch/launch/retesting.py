"""Adds retests to a study that exists, and trains them with this machine's workers.

After the search, retests of the best settings and yours are queued, and train now.
During the search the request is stored, since the best settings are known at the
search's end.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lrsearch.events import Listener
from lrsearch.launch.checking import nothing_to_retest
from lrsearch.launch.common_steps import (
    complete_study,
    open_stored_study,
    start_workers,
    train,
)
from lrsearch.launch.queueing import RetestsAdded, add_retests
from lrsearch.launch.retest_choice import choose_settings
from lrsearch.options import MachineOptions, RetestOptions, SearchOptions
from lrsearch.progress.listeners import ignore, protect_training
from lrsearch.values import StudyState


def retest(
    name: str,
    wanted: RetestOptions,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    plan_only: bool = False,
    study_file: str | Path | None = None,
    listen: Listener = ignore,
) -> RetestsAdded:
    """Add retests to the study `name`, and train them here unless `plan_only`.

    A finished study is open again for its retests. During the search, or in a stopped
    study, nothing is trained here. Only the accepted changes and versions of `search`
    count.

    Raises the errors of `lrsearch.launch.attach`, and UnknownName or InvalidValue for a
    trial that cannot be retested.
    """
    listen = protect_training(listen)
    with open_stored_study(name, machine) as (ledger, study):
        choice = choose_settings(study, ledger.trials(study.id), wanted)
        over = ledger.search_is_over(study.id)
        if over and not choice.trials:
            raise nothing_to_retest(study)
        if plan_only or not over or study.state.is_stopped:
            # The caller prints what was done, in place of the answer.
            return add_retests(ledger, study, wanted)
        left = choice.lacking + choice.waiting
        if not left:
            return add_retests(ledger, study, wanted, listen=listen)
        with start_workers(
            ledger,
            study,
            search,
            machine,
            study_file=study_file,
            listen=listen,
            left=left,
        ) as (pool, slots):
            added = add_retests(ledger, study, wanted, listen=listen)
            if added.taken.over and added.study.state is StudyState.OPEN:
                train(pool, ledger, added.study, slots, listen)
        counts = ledger.counts(study.id)
    taken = replace(added.taken, waiting=counts.retests - counts.retests_done)
    return replace(added, study=complete_study(name, machine), taken=taken)
