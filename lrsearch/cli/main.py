"""The group of commands, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from lrsearch.cli import answers, dashboard, manage, plan, run, server, show
from lrsearch.errors import EnvironmentProblem, LrSearchError, StudyBroken, StudyFileError
from lrsearch.version import VERSION

SECTIONS = {
    "Search": (run.new_study, plan.plan, run.start_study, run.attach),
    "Answers": (answers.best, answers.export, answers.plot, dashboard.dashboard),
    "Look": (show.studies, show.status, show.trials, show.show, show.workers),
    "Steer": (manage.stop, manage.resume, manage.extend, manage.retry, manage.delete),
    "Set up": (server.doctor, server.database, server.migrate, show.version),
}


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class Commands(click.Group):
    """Lists its commands by what they are for, and minds that their output may end before they do."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `| head` has read enough: what was asked for is done, and only its end goes unread
            return 0
        except OSError as error:
            if error.errno not in _FULL or error.filename is not None:
                raise
            raise EnvironmentProblem(f"the output cannot be written: {error.strerror}; the study is not affected.") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(each.name or "", each.get_short_help_str(90)) for each in commands])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="lrsearch %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(*, debug: bool) -> None:
    """Learn which optimizer, peak learning rate and schedule to train a Keras model with, and how sure to be.

    Begin with `lrsearch new-study FILE` and `lrsearch start-study FILE`.
    """
    del debug  # read by main(), which outlives this call


for section in SECTIONS.values():
    for command in section:
        cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(given, prog_name="lrsearch", standalone_mode=False)
    except LrSearchError as error:
        code = _tell(error, debug="--debug" in given)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        with suppress(OSError):
            click.echo("interrupted", err=True)
        code = 130
    _drop_unread()
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: LrSearchError, *, debug: bool) -> int:
    """Say `error` in one line, where somebody still reads; a study file's own traceback goes before it."""
    with suppress(OSError):
        if isinstance(error, (StudyFileError, StudyBroken)) and error.traceback_text:
            click.echo(error.traceback_text.rstrip(), err=True)
        if debug:
            traceback.print_exception(error)
        click.echo(f"lrsearch: {error}", err=True)
    return error.exit_code


def _drop_unread() -> None:
    """Forget output that cannot be written: Python would try again as it leaves, and change the exit code to 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
