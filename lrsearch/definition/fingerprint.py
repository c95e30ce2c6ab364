"""What makes two definitions the same: fields and code, as canonical JSON, so that a difference can be named."""

from __future__ import annotations

from typing import Any

from lrsearch.definition.code import code_digest
from lrsearch.definition.study import StudyDefinition
from lrsearch.values import Json

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
    """The definition's fields and its code, by name. Comments, docstrings and layout do not count; `seed` is the search's own."""
    found: dict[str, Json] = {name: getattr(definition, name) for name in _FIELDS}
    found["class_weight"] = {str(key): float(value) for key, value in (definition.class_weight or {}).items()} or None
    space = definition.effective_space().to_json()
    found |= {f"space.{name}": canonical(value) for name, value in space.items()}
    found["code"] = code_digest(definition)
    return found


def canonical(value: Any) -> Json:
    """`value` as JSON would return it."""
    if isinstance(value, dict):
        return {str(key): canonical(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(each) for each in value]
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)
