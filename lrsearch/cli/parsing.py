"""How the values of options are read: click's callbacks, one a kind of value."""

from __future__ import annotations

import json
import re

import click

from lrsearch.cli.failures import BadOption
from lrsearch.values import Json

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"k": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kMGT])")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Seconds from `90s`, `45m`, `8h`, `1h30m` or `2d`."""
    if value is None:
        return None
    parts = _DURATION.findall(value)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != value or seconds <= 0:
        raise BadOption(
            "is no duration above 0",
            got=value,
            allowed="a duration above 0",
            fix="Write it like 90s, 45m, 8h or 1h30m.",
        )
    return seconds


def size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Bytes from `800k`, `500M`, `20G`."""
    if value is None:
        return None
    found = _SIZE.fullmatch(value)
    if found is None or not float(found[1]):
        raise BadOption(
            "is no size above 0",
            got=value,
            allowed="a size above 0",
            fix="Write it like 500M or 20G.",
        )
    return int(float(found[1]) * _BYTES[found[2]])


def names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[str] | None:
    """Names separated by commas."""
    if value is None:
        return None
    parts = [name.strip() for name in value.split(",")]
    if not all(parts):
        raise BadOption(
            "holds an empty name",
            got=value,
            allowed="names",
            fix="Separate names with single commas.",
        )
    return parts


def numbers(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> float | list[float] | None:
    """One number, which fixes, or two separated by a comma, which search between them."""
    if value is None:
        return None
    try:
        parts = [float(part) for part in value.split(",")]
    except ValueError:
        parts = []
    if len(parts) not in {1, 2}:
        raise BadOption(
            "is neither one number nor LOW,HIGH", got=value, allowed="one number, or LOW,HIGH"
        )
    return parts[0] if len(parts) == 1 else parts


def peak_rates(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> float | list[float] | dict[str, float | list[float] | None] | None:
    """`LOW,HIGH` for every optimizer, or several `NAME=LOW,HIGH`, each for one."""
    pairs = [value.rpartition("=") for value in values]
    by_name = {name: numbers(ctx, param, given) for name, mark, given in pairs if mark}
    if by_name and len(by_name) == len(values):
        return by_name
    if len(values) > 1:
        fix = "Give it once as LOW,HIGH, or once for each optimizer as NAME=LOW,HIGH."
        raise BadOption(
            "does not go together",
            got=list(values),
            allowed="LOW,HIGH, or NAME=LOW,HIGH several times",
            fix=fix,
        )
    return numbers(ctx, param, values[0]) if values else None


def sizes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[int] | None:
    """Whole numbers separated by commas."""
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise BadOption(
            "is no list of whole numbers like 32,64", got=value, allowed="whole numbers like 32,64"
        ) from None


def extras(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, Json] | None:
    """`NAME=LOW,HIGH` is a range, whole where both are whole numbers; `NAME=A/B/C` a choice."""
    return dict(map(_extra, values)) or None


def _extra(text: str) -> tuple[str, Json]:
    name, mark, given = text.partition("=")
    ends, choices = given.split(","), given.split("/")
    if mark and len(ends) == 2 and len(choices) == 1:  # noqa: PLR2004
        return name, {"between": [_plain(each) for each in ends]}
    if mark and len(ends) == 1 and len(choices) > 1:
        return name, {"choices": [_plain(each) for each in choices]}
    raise BadOption(
        "is neither NAME=LOW,HIGH nor NAME=A/B/C", got=text, allowed="NAME=LOW,HIGH or NAME=A/B/C"
    )


def _plain(text: str) -> Json:
    """A number, true, false or null where it reads as one, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
