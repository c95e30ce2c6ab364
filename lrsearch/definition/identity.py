"""Whether a definition is the one that a study was made from.

Every comparison of a study with a definition is made here, by the same rules:

check_fields      fields that stand on both sides: rules of a run, digests of data
check_facts       what an inspection found                           (the ledger)
check_definition  a study file, but not its data                     (workers, exports)
accept_changes    a study file, whose differences may be accepted    (who goes on with a study)

Fingerprints of 0.1.0 are compared as that version did. Knows neither files nor
databases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from lrsearch.definition.code import CALLBACKS
from lrsearch.definition.fingerprint import VERSION, fingerprint_of, recorded_of
from lrsearch.definition.study import StudyDefinition
from lrsearch.definition.version1 import FIELD as CODE_OF_1
from lrsearch.errors import (
    FingerprintMismatch,
    InvalidValue,
    SchemaMismatch,
    UnknownName,
    VersionMismatch,
)
from lrsearch.values import Change, Json, StudyFacts, StudyRecord
from lrsearch.version import minor_version, versions

# Changes of these leave the study's objective, the length of its trials and its axes as
# they are.
_ACCEPTABLE = ("code", "data.", "model.", "class_weight", "shuffle", "validation_steps")
_MEASURED = ("data.", "model.")  # known only after the data and the model are loaded
# results of another minor version are not mixed
_PINNED = ("optuna", "keras", "tensorflow")


Differences: TypeAlias = Mapping[str, tuple[Json, Json]]  # by field: (stored, given)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What differs between a stored study and a definition."""

    differing: Differences
    callbacks: Differences  # never refused: their change is recorded and reported
    notes: tuple[str, ...] = ()  # what could not be compared


def check_fields(
    study: str, stored: Mapping[str, Json], given: Mapping[str, Json]
) -> None:
    """Refuse other values of fields that stand on both sides. Raises FingerprintMismatch."""
    _refuse(
        study, _differing(stored, given, [name for name in stored if name in given])
    )


def check_facts(study: StudyRecord, found: StudyFacts) -> None:
    """Refuse another definition. Raises FingerprintMismatch, SchemaMismatch."""
    _refuse(study.name, compare(study, found).differing)


def check_definition(study: StudyRecord, definition: StudyDefinition) -> None:
    """Refuse a study file that was edited since, without a look at its data and model.

    Otherwise a restarted worker would train another definition under the study's name.
    Data and model were compared at the study's inspection. Raises the errors of
    `check_facts`.
    """
    measured = {
        name: value
        for name, value in study.fingerprint.items()
        if name.startswith(_MEASURED)
    }
    found = replace(
        study.facts,
        fingerprint=measured | fingerprint_of(definition),
        recorded=recorded_of(definition),
        versions=versions(),
    )
    check_facts(study, found)


def accept_changes(
    study: StudyRecord,
    found: StudyFacts,
    *,
    accept: Iterable[str] = (),
    allow_version_drift: bool = False,
) -> tuple[list[Change], tuple[str, ...]]:
    """The changes to record with the study, and notes for people.

    `accept` names fields that may differ. Raises VersionMismatch, FingerprintMismatch
    for changes that nobody accepted, UnknownName and InvalidValue for fields that
    cannot be accepted.
    """
    drift = _check_versions(
        study.facts.versions, found.versions, allow_drift=allow_version_drift
    )
    accepted = frozenset(accept)
    compared = compare(study, found)
    _check_acceptable(accepted, {*study.fingerprint, *found.fingerprint})
    refused = {
        name: pair for name, pair in compared.differing.items() if name not in accepted
    }
    _refuse(study.name, refused, acceptable=frozenset(filter(_acceptable, refused)))
    # other data may make epochs, and so schedules and exports, longer
    if compared.differing:
        then, now = dict(study.facts.steps_per_epoch), dict(found.steps_per_epoch)
        check_fields(study.name, {"steps_per_epoch": then}, {"steps_per_epoch": now})
    changes = [
        Change(field=name, old=old, new=new)
        for name, (old, new) in {**compared.differing, **compared.callbacks}.items()
    ]
    notes = (
        f"{each.field} changed since the study began, and is recorded"
        for each in changes
    )
    return changes, (*drift, *compared.notes, *notes)


def compare(study: StudyRecord, given: StudyFacts) -> Comparison:
    """Compare the stored study, its accepted changes included, with a definition's facts.

    Raises SchemaMismatch where a newer lrsearch made the study.
    """
    stored = study.fingerprint
    version = stored.get("version", 1)
    if isinstance(version, int) and version > VERSION:
        text = f"study {study.name!r} was made by a newer lrsearch."
        raise SchemaMismatch(text, fix="Install that one.")
    if version == 1 and "version" in given.fingerprint:
        return _compare_with_1(study, given)
    then, now = study.recorded.get(CALLBACKS), given.recorded.get(CALLBACKS)
    known = then is not None and now is not None
    return Comparison(
        differing=_differing(
            stored, given.fingerprint, {**stored, **given.fingerprint}
        ),
        callbacks={CALLBACKS: (then, now)} if known and then != now else {},
    )


def _compare_with_1(study: StudyRecord, given: StudyFacts) -> Comparison:
    """Compare by the fields that 0.1.0 had.

    The digest of code in 0.1.0 depends on Python's minor version: under another version
    it cannot be compared.
    """
    stored = study.fingerprint
    here = dict(given.fingerprint) | {CODE_OF_1: given.recorded.get(CODE_OF_1)}
    then = minor_version(study.facts.versions.get("python", ""))
    now = minor_version(given.versions.get("python", ""))
    if then == now:
        return Comparison(differing=_differing(stored, here, stored), callbacks={})
    note = (
        f"study {study.name!r} was made by version 0.1.0 under Python {then}; "
        f"under {now} its code cannot be compared, and is taken as it is"
    )
    names = [name for name in stored if name != CODE_OF_1]
    return Comparison(
        differing=_differing(stored, here, names), callbacks={}, notes=(note,)
    )


def _differing(
    stored: Mapping[str, Json], given: Mapping[str, Json], names: Iterable[str]
) -> Differences:
    pairs = {name: (stored.get(name), given.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _refuse(
    study: str, differing: Differences, *, acceptable: Collection[str] = ()
) -> None:
    if differing:
        raise FingerprintMismatch(study, differences=differing, acceptable=acceptable)


def _acceptable(field: str) -> bool:
    """Whether --accept-change may name a field."""
    return field.startswith(_ACCEPTABLE)


def _check_acceptable(accepted: Iterable[str], fields: set[str]) -> None:
    known = sorted(filter(_acceptable, fields))
    for name in sorted(accepted):
        if name not in fields:
            raise UnknownName("field of the fingerprint", got=name, known=known)
        if not _acceptable(name):
            raise InvalidValue(
                "--accept-change",
                got=name,
                allowed=f"one of {', '.join(known)}",
                fix="Results before and after could not be ranked together: "
                "give the study a name of its own with --name NEW.",
            )


def _check_versions(
    stored: Mapping[str, str], here: Mapping[str, str], *, allow_drift: bool
) -> list[str]:
    """Refuse libraries of another minor version than the study began with.

    Returns notes on the differences where a drift is allowed.
    """
    differing = [
        f"{name} {stored[name]} in the study, {here[name]} here"
        for name in _PINNED
        if name in stored
        and name in here
        and minor_version(stored[name]) != minor_version(here[name])
    ]
    if differing and not allow_drift:
        fix = "Install the study's versions, or allow it with --allow-version-drift."
        raise VersionMismatch(
            f"results of other library versions would be mixed: {'; '.join(differing)}.",
            fix=fix,
        )
    return [f"other library versions, as allowed: {each}" for each in differing]
