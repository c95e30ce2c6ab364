"""The group of all commands; turns errors into a line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from lrsearch.cli import (
    answers,
    archiving,
    comparing,
    completing,
    dashboard,
    final_training,
    manage,
    plan,
    retesting,
    run,
    server,
    show,
    skill,
    tracking,
)
from lrsearch.cli.failures import error_to_json, wants_json
from lrsearch.cli.options import Group, echo_json
from lrsearch.errors import (
    EnvironmentProblem,
    LrSearchError,
    StudyBroken,
    StudyFileError,
)
from lrsearch.machine import check_system
from lrsearch.version import VERSION

SECTIONS = {
    "Search": (run.new_study, plan.plan, run.start_study, run.attach, retesting.retest),
    "Answers": (
        answers.best,
        answers.report,
        answers.export,
        answers.plot,
        dashboard.dashboard,
    ),
    "Hand on": (
        final_training.train,
        final_training.replay,
        archiving.archive,
        archiving.verify,
        tracking.log,
    ),
    "Compare": (comparing.compare,),
    "Look": (show.studies, show.status, show.trials, show.show, show.workers),
    "Steer": (manage.stop, manage.resume, manage.extend, manage.retry, manage.delete),
    "Set up": (
        server.doctor,
        server.database,
        server.migrate,
        completing.completion,
        skill.skill,
        show.version,
    ),
}


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class Commands(Group):
    """The group of all commands, listed by their purpose."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `| head` has read enough; the command is done
            return 0
        except OSError as error:
            if error.errno not in _FULL or error.filename is not None:
                raise
            text = f"the output cannot be written: {error.strerror}; the study is not affected."
            fix = "Free some room, or send the output elsewhere."
            raise EnvironmentProblem(text, fix=fix) from error

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        del ctx
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (each.name or "", each.get_short_help_str(90))
                        for each in commands
                    ]
                )


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(VERSION, message="lrsearch %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(*, debug: bool) -> None:
    """Learn which optimizer, peak learning rate and schedule to train a Keras model
    with, and how sure to be.

    Begin with `lrsearch new-study FILE` and `lrsearch start-study FILE`.
    """
    del debug  # read by main(), which outlives this call


for section in SECTIONS.values():
    for command in section:
        cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Under --json every error is printed as a JSON document too.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        check_system()
        code = cli.main(words, prog_name="lrsearch", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - our bugs are raised again
        if wants_json(words):
            with suppress(OSError):
                echo_json(error_to_json(error, words))
        code = _print_error(error, debug="--debug" in words)
    _drop_unread()
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(error: BaseException, *, debug: bool) -> int:
    """Print `error` where the output is still read, and return its exit code.

    A bug of ours is raised again, with its traceback.
    """
    if not isinstance(
        error, (LrSearchError, click.ClickException, click.Abort, KeyboardInterrupt)
    ):
        raise error
    with suppress(OSError):
        if isinstance(error, LrSearchError):
            _print_ours(error, debug=debug)
        elif isinstance(error, click.ClickException):
            error.show()
        else:
            click.echo("interrupted", err=True)
    return getattr(error, "exit_code", 130)


def _print_ours(error: LrSearchError, *, debug: bool) -> None:
    """Print `error` in one line, after a study file's own traceback."""
    if isinstance(error, (StudyFileError, StudyBroken)) and error.traceback_text:
        click.echo(error.traceback_text.rstrip(), err=True)
    if debug:
        traceback.print_exception(error)
    click.echo(f"lrsearch: {error}", err=True)


def _drop_unread() -> None:
    """Drop output that cannot be written.

    Python would try again at its end, and change the exit code to 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
