"""Whether a definition is the one that a study was made from: fingerprints compared, of this
version or of 0.1.0.

Pure: knows neither files nor databases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lrsearch.definition.code import CALLBACKS
from lrsearch.definition.fingerprint import VERSION
from lrsearch.definition.version1 import FIELD as CODE_OF_1
from lrsearch.errors import FingerprintMismatch, InvalidValue, SchemaMismatch, UnknownName
from lrsearch.values import Change, Json, StudyFacts, StudyRecord

# A change of these leaves the study's facts true: its objective, the length of its trials, its
# axes.
_ACCEPTABLE = ("code", "data.", "model.", "class_weight", "shuffle", "validation_steps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What differs, by field (stored, given), and what could not be compared or only is to be said."""

    differing: Mapping[str, tuple[Json, Json]]
    callbacks: tuple[Json, Json] | None = None  # theirs, where they differ
    notes: tuple[str, ...] = ()


def compare(study: StudyRecord, given: StudyFacts) -> Comparison:
    """The stored study, the changes that it accepted included, against what was found here.

    Raises SchemaMismatch.
    """
    stored = study.fingerprint
    version = stored.get("version", 1)
    if isinstance(version, int) and version > VERSION:
        raise SchemaMismatch(
            f"study {study.name!r} was made by a newer lrsearch. Install that one."
        )
    if version == 1 and "version" in given.fingerprint:
        return _compare_with_1(study, given)
    names = [*stored, *(name for name in given.fingerprint if name not in stored)]
    differing = _differing(stored, given.fingerprint, names)
    pair = study.recorded.get(CALLBACKS), given.recorded.get(CALLBACKS)
    return Comparison(
        differing=differing, callbacks=pair if None not in pair and pair[0] != pair[1] else None
    )


def _compare_with_1(study: StudyRecord, given: StudyFacts) -> Comparison:
    """By the fields that 0.1.0 had.

    Its digest of code depends on Python's minor version: under another it cannot be compared.
    """
    stored, here = (
        study.fingerprint,
        dict(given.fingerprint) | {CODE_OF_1: given.recorded.get(CODE_OF_1)},
    )
    then, now = (
        _minor(each.get("python", "")) for each in (study.plan.facts.versions, given.versions)
    )
    known = then == now
    differing = _differing(stored, here, [name for name in stored if known or name != CODE_OF_1])
    if known:
        return Comparison(differing=differing)
    text = f"study {study.name!r} was made by version 0.1.0 under Python {then}; under {now} its code cannot be compared"
    return Comparison(differing=differing, notes=(f"{text}, and is taken as it is",))


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _differing(
    stored: Mapping[str, Json], given: Mapping[str, Json], names: Iterable[str]
) -> dict[str, tuple[Json, Json]]:
    return {
        name: (stored.get(name), given.get(name))
        for name in names
        if stored.get(name) != given.get(name)
    }


def changes_of(
    study: StudyRecord, given: StudyFacts, *, accept: Iterable[str] = ()
) -> tuple[list[Change], tuple[str, ...]]:
    """The changes to record with the study, and notes to say.

    Raises FingerprintMismatch for those that nobody accepted.
    """
    accepted = frozenset(accept)
    found = compare(study, given)
    _check_acceptable(accepted, {*study.fingerprint, *given.fingerprint})
    refused = {name: pair for name, pair in found.differing.items() if name not in accepted}
    if refused:
        raise FingerprintMismatch(
            study.name, differences=refused, acceptable=frozenset(filter(acceptable, refused))
        )
    if found.differing:
        _refuse_other_lengths(study, given)
    changes = [Change(field=name, old=old, new=new) for name, (old, new) in found.differing.items()]
    if found.callbacks is not None:
        changes.append(Change(field=CALLBACKS, old=found.callbacks[0], new=found.callbacks[1]))
    return changes, (
        *found.notes,
        *(f"{each.field} changed since the study began, and is recorded" for each in changes),
    )


def acceptable(field: str) -> bool:
    """Whether --accept-change may name a field."""
    return field.startswith(_ACCEPTABLE)


def _check_acceptable(accepted: Iterable[str], fields: set[str]) -> None:
    known = sorted(filter(acceptable, fields))
    for name in sorted(accepted):
        if name not in fields:
            raise UnknownName("field of the fingerprint", got=name, known=known)
        if not acceptable(name):
            fix = "Results before and after could not be ranked together: give the study a name of its own with --name NEW."
            raise InvalidValue(
                "--accept-change", got=name, allowed=f"one of {', '.join(known)}", fix=fix
            )


def _refuse_other_lengths(study: StudyRecord, given: StudyFacts) -> None:
    """Other data may make epochs longer: schedules and exports of the study would be of the old
    length.
    """
    then, now = dict(study.plan.facts.steps_per_epoch), dict(given.steps_per_epoch)
    if then != now:
        raise FingerprintMismatch(study.name, differences={"steps_per_epoch": (then, now)})
