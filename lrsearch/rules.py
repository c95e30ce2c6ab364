"""Rules for the fields of a dataclass: what a field may hold, in code and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from lrsearch.errors import InvalidValue

WHOLE = "a whole number of "


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field may hold: a test, and the same in words."""

    holds: Callable[[Any], object]
    allowed: str


def check_fields(value: Any, rules: Mapping[str, Rule]) -> None:
    """Raise InvalidValue for the first field that breaks its rule; a default None is allowed."""
    for each in fields(value):
        rule, got = rules.get(each.name), getattr(value, each.name)
        left_out = got is None and each.default is None
        if rule is not None and not left_out and not rule.holds(got):
            raise InvalidValue(each.name, got=got, allowed=rule.allowed)


def is_number(value: object, kind: type) -> bool:
    """Whether `value` is a number of that kind, which a bool is not."""
    return isinstance(value, kind) and not isinstance(value, bool)


def at_least(
    low: int, allowed: str = WHOLE + "at least {}", *, kind: type = Integral
) -> Rule:
    """The rule of a whole number; by default NumPy's integers are allowed, too."""
    return Rule(
        lambda value: is_number(value, kind) and value >= low, allowed.format(low)
    )


BOOL = Rule(lambda value: isinstance(value, bool), "True or False")
