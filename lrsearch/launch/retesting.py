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
from lrsearch.launch.options import MachineOptions, RetestOptions, SearchOptions
from lrsearch.launch.retests import STOPPED, RetestsAdded, add_retests
from lrsearch.launch.starting import complete_study, stored_study, train_further
from lrsearch.messages import Listener
from lrsearch.progress.listeners import silent, to_all
from lrsearch.values import StudyRecord, StudyState


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
    url = machine.url
    added: list[RetestsAdded] = []
    with stored_study(name, url) as (ledger, study):
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

        def begin() -> StudyRecord | None:
            added.append(add_retests(ledger, study, wanted, listen=listen))
            now = added[0].study
            return now if added[0].taken.over and now.state is StudyState.OPEN else None

        train_further(
            ledger,
            study,
            search,
            machine,
            url=url,
            study_file=study_file,
            listen=listen,
            left=left,
            begin=begin,
        )
        counts = ledger.counts(study.id)
    taken = replace(added[0].taken, waiting=counts.retests - counts.retests_done)
    return replace(added[0], study=complete_study(url, name), taken=taken)


def _nothing_to_retest(name: str) -> Refused:
    none = f"no trial of study {name!r} ran to its end with a value: there is nothing to retest."
    return Refused(f"{none} See lrsearch trials {quote(name)}.")
