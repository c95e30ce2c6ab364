"""What must be the same before a stored study is trained further, and what must run here at all."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.errors import FingerprintMismatch, StudyBroken, VersionMismatch
from lrsearch.launch.events import Event, Listener, silent
from lrsearch.launch.options import SearchOptions
from lrsearch.values import StudyFacts, StudyRecord, StudyState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

_PINNED = ("optuna", "keras", "tensorflow")


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
    """Refuse to train something else under the study's name; what is accepted is recorded with it,
    and said.

    Raises FingerprintMismatch, VersionMismatch, and InvalidValue or UnknownName for what cannot be
    accepted.
    """
    from lrsearch.definition import changes_of

    notes = check_versions(study, facts, search)
    changes, said = changes_of(study, facts, accept=search.accept_change)
    if changes:
        ledger.record_changes(study.id, changes)
    for text in (*notes, *said):
        listen(Event(name="note", facts={"text": text}))


def check_same(known: StudyRecord, search: SearchOptions) -> None:
    """Refuse to go on with a study under other rules than it began with; what was not said stays as
    it is.
    """
    names = ("sampler", "pruner", "seed", "retries")
    pairs = {name: (getattr(known.plan, name), getattr(search, name)) for name in names}
    differing = {name: pair for name, pair in pairs.items() if pair[1] not in {None, pair[0]}}
    if differing:
        raise FingerprintMismatch(known.name, differences=differing)


def check_methods(search: SearchOptions, facts: StudyFacts) -> None:
    """Refuse a sampler or pruner that cannot run here, before anything is made."""
    from lrsearch.sampling import check_sampler, pruning_rule

    if search.sampler is not None:
        check_sampler(search.sampler)
    if search.pruner is not None:
        pruning_rule(search.pruner, epochs=facts.epochs, direction=facts.direction)


def check_versions(study: StudyRecord, facts: StudyFacts, search: SearchOptions) -> list[str]:
    """Refuse libraries of another minor version than the study began with: their results must not
    be mixed unawares.

    Returns what to say where that is allowed; the ledger keeps each worker's versions. Raises
    VersionMismatch.
    """
    began, here = study.plan.facts.versions, facts.versions
    differing = [
        f"{name} {began[name]} in the study, {here[name]} here"
        for name in _PINNED
        if name in began and name in here and _minor(began[name]) != _minor(here[name])
    ]
    if differing and not search.allow_version_drift:
        fix = "Install the study's versions, or allow it with --allow-version-drift."
        raise VersionMismatch(
            f"results of other library versions would be mixed: {'; '.join(differing)}.", fix=fix
        )
    return [f"other library versions, as allowed: {each}" for each in differing]


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
