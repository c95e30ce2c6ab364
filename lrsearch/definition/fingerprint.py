"""What makes two definitions the same: fields and code as canonical JSON, each under its name."""

from __future__ import annotations

from typing import Any

from lrsearch.definition import version1
from lrsearch.definition.code import CALLBACKS, code_parts
from lrsearch.definition.folds import folds_to_json
from lrsearch.definition.study import StudyDefinition
from lrsearch.values import Json

VERSION = 2  # of the fingerprint; 0.1.0's had none
_FIELDS = (
    "objective",
    "direction",
    "objective_epoch",
    "epochs",
    "steps_per_epoch",
    "validation_steps",
    "shuffle",
    "gradient_accumulation_steps",
)


def fingerprint_of(definition: StudyDefinition) -> dict[str, Json]:
    """All that changes results, by name: the definition's fields, and its code except callbacks.

    Comments, docstrings, layout, the version of Python and code that nothing needs do
    not count. `seed` is the search's own.
    """
    found: dict[str, Json] = {"version": VERSION} | {
        name: getattr(definition, name) for name in _FIELDS
    }
    if definition.folds is not None:  # studies of earlier versions have no such field
        found["folds"] = folds_to_json(definition.folds)
    found["class_weight"] = {
        str(key): float(value) for key, value in (definition.class_weight or {}).items()
    } or None
    space = definition.effective_space().to_json()
    found |= {f"space.{name}": canonical(value) for name, value in space.items()}
    return found | {
        part: digest
        for part, digest in code_parts(definition).items()
        if part != CALLBACKS
    }


def recorded_of(definition: StudyDefinition) -> dict[str, Json]:
    """Digests kept beside the fingerprint: of callbacks, and of `code` as 0.1.0 made it.

    A change of callbacks is reported, and never refused.
    """
    return {
        CALLBACKS: code_parts(definition).get(CALLBACKS),
        version1.FIELD: version1.code_digest(definition),
    }


def canonical(value: Any) -> Json:
    """`value` as JSON would return it."""
    if isinstance(value, dict):
        return {str(key): canonical(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(each) for each in value]
    return (
        value
        if isinstance(value, str | int | float | bool) or value is None
        else repr(value)
    )
