"""Writes docs/reference.md from the code itself: commands, study fields, optimizers, shapes and messages.

python docs/make_reference.py        # tests/unit/test_documents.py holds the file equal to what this writes
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from lrsearch import SearchSpace, StudyDefinition, TrialInfo
from lrsearch.cli.main import SECTIONS
from lrsearch.messages import Message
from lrsearch.space import OPTIMIZERS, SHAPES

COMMANDS = """## Commands

`lrsearch --debug COMMAND` shows an error's traceback.

| exit code | meaning |
| --- | --- |
| 0 | success |
| 1 | the study is broken or found nothing |
| 2 | the caller's mistake |
| 3 | the environment: database, device |
| 4 | the study refuses: fingerprint, schema, versions |
| 5, 6 | `status --wait`: workers train the study; none does, and it has not ended |
| 130, 143, 129 | Ctrl-C, SIGTERM, SIGHUP |

With `--json` an error is a JSON document on standard output as well, with the same exit code. Its keys
are `error` (the line), `kind`, `field`, `got`, `allowed`, `fix`, `retryable` (whether the same command
may succeed later), `exit_code` and `traceback` (of the study's own code). A key that the error has
nothing for is null."""
MESSAGES = """`--log-file` appends a line of JSON for each message: `event`, `at` (seconds since 1970), `slot` (of
the worker that speaks), then the fields. The log file leaves out `facts`, `error` and `trial.progress`; the
first two are for the parent process alone.

`best` and `yours` have the fields `number`, `value`, `short`, `state`, `seeds` (0: a single training) and `evidence` (in words)."""
TARGET = Path(__file__).with_name("reference.md")


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference\n\nWritten by `docs/make_reference.py` from the code; do not edit by hand.",
        COMMANDS,
        *(
            part
            for title, commands in SECTIONS.items()
            for part in section(title, commands)
        ),
        f"## StudyDefinition\n\n{fields(StudyDefinition)}",
        f"## TrialInfo\n\n{fields(TrialInfo)}",
        f"## SearchSpace\n\n{fields(SearchSpace)}",
        f"## Optimizers\n\n{optimizers()}",
        f"## Schedule shapes\n\n{shapes()}",
        f"## Messages\n\n{MESSAGES}\n\n{messages()}",
    ]
    return "\n\n".join(parts) + "\n"


def section(title: str, commands: tuple[click.Command, ...]) -> Iterator[str]:
    """A heading and its commands; groups are opened up."""
    yield f"### {title}"
    for command in commands:
        yield from _command(command, prefix="")


def _command(command: click.Command, prefix: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _command(each, prefix=f"{prefix}{command.name} ")
        return
    arguments = "".join(
        f" {each.human_readable_name}"
        for each in command.params
        if isinstance(each, click.Argument)
    )
    yield f"#### `lrsearch {prefix}{command.name}{arguments}`"
    yield inspect.cleandoc(command.help or "")
    options = [
        _option(each) for each in command.params if isinstance(each, click.Option)
    ]
    if options:
        yield "| option | meaning |\n| --- | --- |\n" + "\n".join(options)


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if not option.is_flag:
        choices = (
            "\\|".join(option.type.choices)
            if isinstance(option.type, click.Choice)
            else None
        )
        names += f" {choices or option.metavar or option.type.name.upper()}".replace(
            "|", "\\|"
        ).replace("\\\\|", "\\|")
    default = (
        f" [default: {option.default}]"
        if option.show_default and option.default is not None
        else ""
    )
    return f"| {names} | {(option.help or '').replace('|', chr(92) + '|')}{default} |"


def fields(documented: type) -> str:
    """A class's docstring, with its `field: meaning` lines as a list."""
    # a meaning may go on, indented
    text = re.sub(r"\n +", " ", inspect.getdoc(documented) or "")
    return re.sub(r"^([a-z_]+(?:, [a-z_]+)*): ", r"- `\1`: ", text, flags=re.MULTILINE)


def optimizers() -> str:
    """A table of every optimizer: reference rate, usual range, what else can be searched."""
    rows = [
        (
            "Rates are those of a constant schedule. Another shape's are so many times as high: a linear "
            "or cosine decay's 2.7 times, a decay over the last half 1.8 times."
        ),
        "",
        "| name | reference rate | usual rates | further, with defaults |",
        "| --- | --- | --- | --- |",
    ]
    for name, spec in OPTIMIZERS.items():
        further = (
            ", ".join(f"{each} {knob.default:g}" for each, knob in spec.hyper.items())
            or "none"
        )
        rows.append(
            f"| `{name}` | {spec.reference:g} | {spec.low:g} to {spec.high:g} | {further} |"
        )
    return "\n".join(rows)


def shapes() -> str:
    """A table of every schedule shape."""
    rows = ["| name | what it does | knobs |", "| --- | --- | --- |"]
    for name, shape in SHAPES.items():
        rows.append(
            f"| `{name}` | {shape.summary} | {', '.join(shape.knobs) or 'none'} |"
        )
    return "\n".join(rows)


def messages() -> str:
    """A table of what workers and their parent say."""
    rows = ["| event | fields | meaning |", "| --- | --- | --- |"]
    for name, kind in Message.kinds.items():
        keys = ", ".join(f"`{each.name}`" for each in dataclasses.fields(kind))
        meaning = " ".join((inspect.getdoc(kind) or "").split())
        rows.append(f"| `{name}` | {keys} | {meaning} |")
    return "\n".join(rows)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET}\n")
