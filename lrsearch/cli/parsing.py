"""Reads the values of options: click's callbacks, one per kind of value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from lrsearch.cli.failures import BadOption

if TYPE_CHECKING:
    from lrsearch.values import Json

T = TypeVar("T")
Numbers = float | list[float]
Callback = Callable[[click.Context, click.Parameter, str | None], T | None]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"k": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kMGT])")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def _read(read: Callable[[str], T]) -> Callback[T]:
    """Make a callback for click, which leaves an option that is not given at None."""

    def callback(
        _ctx: click.Context, _param: click.Parameter, value: str | None
    ) -> T | None:
        return None if value is None else read(value)

    return callback


@_read
def duration(text: str) -> float:
    """Read seconds from `90s`, `45m`, `8h`, `1h30m` or `2d`."""
    parts = _DURATION.findall(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        what, fix = "a duration above 0", "Write it like 90s, 45m, 8h or 1h30m."
        raise BadOption("is no duration above 0", got=text, allowed=what, fix=fix)
    return seconds


@_read
def size(text: str) -> int:
    """Read bytes from `800k`, `500M`, `20G`."""
    found = _SIZE.fullmatch(text)
    if found is None or not float(found[1]):
        what, fix = "a size above 0", "Write it like 500M or 20G."
        raise BadOption("is no size above 0", got=text, allowed=what, fix=fix)
    return int(float(found[1]) * _BYTES[found[2]])


@_read
def names(text: str) -> list[str]:
    """Read names separated by commas."""
    parts = [name.strip() for name in text.split(",")]
    if not all(parts):
        fix = "Separate names with single commas."
        raise BadOption("holds an empty name", got=text, allowed="names", fix=fix)
    return parts


@_read
def sizes(text: str) -> list[int]:
    """Read whole numbers separated by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        allowed = "whole numbers like 32,64"
        raise BadOption(f"is no list of {allowed}", got=text, allowed=allowed) from None


def _numbers(text: str) -> Numbers:
    """Read one number, which is fixed, or two separated by a comma, the ends of a range."""
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) not in {1, 2}:
        allowed = "one number, or LOW,HIGH"
        raise BadOption("is neither one number nor LOW,HIGH", got=text, allowed=allowed)
    return parts[0] if len(parts) == 1 else parts


numbers = _read(_numbers)


def peak_rates(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> Numbers | dict[str, Numbers] | None:
    """Read `LOW,HIGH` for every optimizer, or a `NAME=LOW,HIGH` for each of several."""
    pairs = [value.rpartition("=") for value in values]
    by_name = {name: _numbers(given) for name, mark, given in pairs if mark}
    if by_name and len(by_name) == len(values):
        return by_name
    if len(values) > 1:
        fix = "Give it once as LOW,HIGH, or once for each optimizer as NAME=LOW,HIGH."
        allowed = "LOW,HIGH, or NAME=LOW,HIGH several times"
        raise BadOption(
            "does not go together", got=list(values), allowed=allowed, fix=fix
        )
    return _numbers(values[0]) if values else None


def extras(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, Json] | None:
    """Read ranges `NAME=LOW,HIGH` and choices `NAME=A/B/C`; two whole ends make a whole range."""
    return dict(map(_extra, values)) or None


def _extra(text: str) -> tuple[str, Json]:
    name, mark, given = text.partition("=")
    ends, choices = given.split(","), given.split("/")
    if mark and len(ends) == 2 and len(choices) == 1:  # noqa: PLR2004
        return name, {"between": [_plain(each) for each in ends]}
    if mark and len(ends) == 1 and len(choices) > 1:
        return name, {"choices": [_plain(each) for each in choices]}
    allowed = "NAME=LOW,HIGH or NAME=A/B/C"
    raise BadOption(
        "is neither NAME=LOW,HIGH nor NAME=A/B/C", got=text, allowed=allowed
    )


def _plain(text: str) -> Json:
    """Read a number, true, false or null; any other text is itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
