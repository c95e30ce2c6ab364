"""What must be the same before a stored study is trained further, and what must run here at all."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.errors import StudyBroken
from lrsearch.messages import Event, Listener, Note
from lrsearch.options import SearchOptions
from lrsearch.progress.listeners import silent
from lrsearch.values import Change, StudyFacts, StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


def refuse_broken(study: StudyRecord) -> None:
    """Raise StudyBroken for a study that its own code broke, with the reason and the way on."""
    if study.state is StudyState.BROKEN:
        fix = f"Mend its file, then: lrsearch retry {quote(study.name)} --failed"
        raise StudyBroken(
            f"study {study.name!r} is broken: its first trials all failed alike. {fix}",
            traceback_text=study.reason,
        )


def check_identity(
    ledger: Ledger,
    study: StudyRecord,
    facts: StudyFacts,
    search: SearchOptions,
    *,
    listen: Listener = silent,
) -> None:
    """Refuse to train something else under the study's name.

    What is accepted is recorded with the study, and said.

    Raises FingerprintMismatch, VersionMismatch, and InvalidValue or UnknownName for what cannot be
    accepted.
    """
    changes, notes = changes_since(study, facts, search)
    if changes:
        ledger.record_changes(study.id, changes)
    for text in notes:
        listen(Event(message=Note(text=text)))


def changes_since(
    study: StudyRecord, facts: StudyFacts, search: SearchOptions
) -> tuple[list[Change], tuple[str, ...]]:
    """What has changed since the study began, as far as `search` accepts that, and what to say.

    Raises what `check_identity` raises.
    """
    from lrsearch.definition import accept_changes

    return accept_changes(
        study,
        facts,
        accept=search.accept_change,
        allow_version_drift=search.allow_version_drift,
    )


def check_same(known: StudyRecord, search: SearchOptions) -> None:
    """Refuse to go on with a study under other rules than it began with.

    What was not said stays as it is. Raises FingerprintMismatch.
    """
    from lrsearch.definition import check_fields

    asked = {name: getattr(search, name) for name in ("sampler", "pruner", "seed", "retries")}
    given = {name: value for name, value in asked.items() if value is not None}
    check_fields(known.name, {name: getattr(known.plan, name) for name in given}, given)


def check_methods(search: SearchOptions, facts: StudyFacts) -> None:
    """Refuse a sampler or pruner that cannot run here, before anything is made."""
    from lrsearch.sampling import check_sampler, pruning_rule

    if search.sampler is not None:
        check_sampler(search.sampler)
    if search.pruner is not None:
        pruning_rule(search.pruner, epochs=facts.epochs, direction=facts.direction)
