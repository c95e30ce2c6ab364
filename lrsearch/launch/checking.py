"""Refuses to go on with a study whose definition, rules or methods have changed."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.errors import Refused, StudyBroken
from lrsearch.events import Listener
from lrsearch.options import SearchOptions
from lrsearch.progress.listeners import send_note
from lrsearch.values import Change, StudyFacts, StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def refuse_broken(study: StudyRecord) -> None:
    """Raise StudyBroken for a broken study, with the reason and the next step."""
    if study.state is StudyState.BROKEN:
        fix = f"Mend its file, then: lrsearch retry {quote(study.name)} --failed"
        text = f"study {study.name!r} is broken: its first trials all failed alike."
        raise StudyBroken(text, fix=fix, traceback_text=study.reason)


def nothing_to_retest(study: StudyRecord) -> Refused:
    """Make the refusal of retests in a study whose search gave no value."""
    none = f"no trial of study {study.name!r} ran to its end with a value:"
    fix = f"See lrsearch trials {quote(study.name)}."
    return Refused(f"{none} there is nothing to retest.", fix=fix)


def check_identity(
    ledger: Ledger,
    study: StudyRecord,
    facts: StudyFacts,
    search: SearchOptions,
    *,
    listen: Listener,
) -> None:
    """Refuse to train another definition under the study's name.

    Accepted changes are recorded with the study and reported as notes.

    Raises FingerprintMismatch, VersionMismatch, and InvalidValue or UnknownName for a
    change that cannot be accepted.
    """
    changes, notes = find_changes(study, facts, search)
    if changes:
        ledger.record_changes(study.id, changes)
    for text in notes:
        send_note(listen, text)


def find_changes(
    study: StudyRecord, facts: StudyFacts, search: SearchOptions
) -> tuple[list[Change], tuple[str, ...]]:
    """The changes since the study began that `search` accepts, and notes about them.

    Raises the errors of `check_identity`.
    """
    from lrsearch.definition import accept_changes

    accept, drift = search.accept_change, search.allow_version_drift
    return accept_changes(study, facts, accept=accept, allow_version_drift=drift)


def check_same(known: StudyRecord, search: SearchOptions) -> None:
    """Refuse to go on with a study under other rules than it began with.

    Options that were not given stay as they are. Raises FingerprintMismatch.
    """
    from lrsearch.definition import check_fields

    rules = {
        name: getattr(search, name) for name in ("sampler", "pruner", "seed", "retries")
    }
    rules = {name: value for name, value in rules.items() if value is not None}
    check_fields(known.name, {name: getattr(known.plan, name) for name in rules}, rules)


def check_methods(search: SearchOptions, facts: StudyFacts) -> None:
    """Refuse a sampler or pruner that cannot run here, before the study is created."""
    from lrsearch.sampling import check_sampler, pruning_rule

    if search.sampler is not None:
        check_sampler(search.sampler)
    if search.pruner is not None:
        pruning_rule(search.pruner, epochs=facts.epochs, direction=facts.direction)
