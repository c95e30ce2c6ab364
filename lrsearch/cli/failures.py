"""Converts errors to JSON documents, for --json.

Every document has the keys of `LrSearchError.to_json`. The document of a click error
names the option, its value and the values that the option takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import click

from lrsearch.errors import LrSearchError, nearest_name, plain


class BadOption(click.BadParameter):
    """An option's value that cannot be read; its text is `got what. fix`."""

    def __init__(self, what: str, *, got: object, allowed: str, fix: str = "") -> None:
        super().__init__(" ".join(filter(None, [f"{got!r} {what}.", fix])))
        self.got, self.allowed, self.fix = got, allowed, fix


class MissingOption(click.UsageError):
    """One of several options must be given."""

    def __init__(self, message: str, *, field: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.field, self.allowed = field, list(allowed)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether --json is among the arguments; these need not be parsed yet."""
    return "--json" in takewhile(lambda word: word != "--", arguments)


def error_to_json(error: BaseException, arguments: Sequence[str]) -> dict[str, Any]:
    """Convert `error`; the value behind a click error is looked up in `arguments`."""
    if isinstance(error, LrSearchError):
        return error.to_json()
    document = LrSearchError(_text(error)).to_json() | {"kind": type(error).__name__}
    document["exit_code"] = getattr(error, "exit_code", 1)
    if isinstance(error, click.Abort | KeyboardInterrupt):
        interrupted = isinstance(error.__cause__ or error, KeyboardInterrupt)
        document |= {
            "error": "interrupted",
            "kind": "Interrupted",
            "exit_code": 130,
            "retryable": interrupted,
        }
    return document | {
        name: plain(value) for name, value in _parts(error, arguments).items()
    }


def _text(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    return f"{type(error).__name__}: {error}"


def _parts(error: BaseException, arguments: Sequence[str]) -> dict[str, Any]:
    """The error's own field, got, allowed and fix."""
    if isinstance(error, click.NoSuchOption):
        options = (
            each.opts for each in _parameters(error) if isinstance(each, click.Option)
        )
        known = [name for names in options for name in names if name.startswith("--")]
        name, near = error.option_name, nearest_name(error.option_name, known)
        fix = f"Did you mean {near}?" if near else None
        return {"field": name, "got": name, "allowed": sorted(known), "fix": fix}
    if isinstance(error, click.BadOptionUsage):
        return {"field": error.option_name}
    if isinstance(error, click.BadParameter) and error.param is not None:
        missing = isinstance(error, click.MissingParameter)
        given = {} if missing else {"got": _find_value(error, arguments)}
        own = {name: getattr(error, name, None) for name in ("got", "allowed", "fix")}
        own = {name: value for name, value in own.items() if value}
        return (
            {"field": _name(error.param)} | given | _allowed_values(error.param) | own
        )
    return {
        name: getattr(error, name)
        for name in ("field", "allowed")
        if hasattr(error, name)
    }


def _parameters(error: click.UsageError) -> list[click.Parameter]:
    return error.ctx.command.get_params(error.ctx) if error.ctx is not None else []


def _name(parameter: click.Parameter) -> str:
    """An option's longest spelling, an argument's name as the help shows it."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.human_readable_name


def _find_value(error: click.UsageError, arguments: Sequence[str]) -> Any:
    """Find the parameter's words by parsing the command's arguments once more."""
    with suppress(Exception):  # no error here may hide the one that is reported
        assert error.ctx is not None
        rest = list(arguments)
        for name in error.ctx.command_path.split()[1:]:
            rest = rest[rest.index(name) + 1 :]
        parsed, _, _ = error.ctx.command.make_parser(error.ctx).parse_args(rest)
        assert isinstance(error, click.BadParameter)
        assert error.param is not None
        return parsed.get(error.param.name or "")
    return None


def _allowed_values(parameter: click.Parameter) -> dict[str, Any]:
    """The values that a parameter's type takes."""
    for kind, allowed in _ALLOWED.items():
        if isinstance(parameter.type, kind):
            return {"allowed": allowed(parameter.type)}
    return {}


def _range(kind: Any) -> str:
    low, high = (None if end is None else f"{end}" for end in (kind.min, kind.max))
    ends = [f"at least {low}" if low else "", f"at most {high}" if high else ""]
    return f"a whole number of {' and '.join(filter(None, ends))}"


# The first that fits: click's ranges are numbers too.
_ALLOWED: dict[type[Any], Callable[[Any], object]] = {
    click.Choice: lambda kind: list(kind.choices),
    click.IntRange: _range,
    type(click.INT): lambda _kind: "a whole number",
    click.Path: lambda kind: (
        "a path that exists"
        if kind.exists
        else "a folder's path"
        if not kind.file_okay
        else "a file's path"
    ),
}
