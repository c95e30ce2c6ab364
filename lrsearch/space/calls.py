"""Keras objects as JSON, and the Python that makes them.

A call is `{"class": PATH, "arguments": {...}}`. An object of a class that the user
registered with Keras is `{"registered": ...}`, in the form that Keras serialises. Knows
text alone; `lrsearch.engine.own_optimizer` makes calls from objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lrsearch.values import Json


def code_of(call: Json) -> str:
    """The expression that makes the object, or the plain value itself."""
    if isinstance(call, Mapping) and "class" in call:
        arguments = (
            f"{name}={code_of(each)}" for name, each in call["arguments"].items()
        )
        return f"{call['class']}({', '.join(arguments)})"
    if isinstance(call, Mapping):
        return f"keras.saving.deserialize_keras_object({call['registered']!r})"
    return repr(call)


def registered_names(call: Json) -> tuple[str, ...]:
    """Registered names of the classes that Keras must know first, such as `flowers>MySchedule`."""
    return tuple(dict.fromkeys(_names(call)))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        name = value.get("registered_name")
        if isinstance(name, str) and ">" in name:
            yield name
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _names(each)
