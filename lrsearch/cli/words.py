"""The words that a command was given, for commands that give them on to another process."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click

_WORDS = "lrsearch.words"


class RememberingCommand(click.Command):
    """A command that remembers the words that it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)


def given_words(context: click.Context, *, without: Collection[str]) -> tuple[str, ...]:
    """The options of a remembering command, as they were given; some are left out, by name."""
    parser = context.command.make_parser(context)
    values, _, _ = parser.parse_args(list(context.meta[_WORDS]))
    words: list[str] = []
    for option in context.command.params:
        name = option.name or ""
        if isinstance(option, click.Option) and name in values and name not in without:
            words += _words(option, values[name])
    return tuple(words)


def _words(option: click.Option, value: Any) -> list[str]:
    if option.is_flag:
        return [option.opts[0]]
    values = value if option.multiple else [value]
    return [word for each in values for word in (option.opts[0], str(each))]
