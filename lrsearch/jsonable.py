"""Converts frozen dataclasses to JSON and back, by the types of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from itertools import repeat
from types import UnionType
from typing import (
    Any,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

Json: TypeAlias = Any
"""What `json` reads and writes."""

T = TypeVar("T")


def to_json(value: Any) -> Json:
    """Convert dataclasses to objects, enums to values, and types unknown to JSON to text."""
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {name: to_json(each) for name, each in value.items()}
        case list() | tuple():
            return [to_json(each) for each in value]
    if is_dataclass(value):
        return {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
    return str(value)


def from_json(kind: type[T], data: Mapping[str, Json]) -> T:
    """Make the `kind` that `to_json` has written.

    Raises ValueError where a field is missing, unknown or no member of its enum.
    """
    types = _types_of(cast("Any", kind))
    try:
        return kind(**{name: _read(types[name], value) for name, value in data.items()})
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


def _read(kind: Any, value: Json) -> Any:
    """Convert `value` to a field's type.

    The type is a tuple, a mapping, a dataclass, an enum, plain JSON, or one of these or
    None.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in {UnionType, Union}:
        return None if value is None else _read(parts[0], value)
    if origin is tuple:
        return tuple(map(_read, repeat(parts[0]) if parts[-1] is ... else parts, value))
    if origin is Mapping:
        return {name: _read(parts[1], each) for name, each in value.items()}
    if is_dataclass(kind):
        return from_json(cast("type", kind), value)
    return kind(value) if isinstance(kind, type) and issubclass(kind, Enum) else value


@cache
def _types_of(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
