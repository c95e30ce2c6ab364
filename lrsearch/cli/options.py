"""Options that several commands share, and the values that the options make.

An option is named like its field of `SearchOptions` or `MachineOptions`, or like a part
of the search space; `take_options` builds the values.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lrsearch.choices import CHOICES, SPACE
from lrsearch.cli.completing import study_argument
from lrsearch.cli.parsing import (
    duration,
    extras,
    names,
    numbers,
    peak_rates,
    size,
    sizes,
)
from lrsearch.errors import InvalidValue, UnknownName

if TYPE_CHECKING:
    from lrsearch.events import Listener
    from lrsearch.options import MachineOptions, SearchOptions
    from lrsearch.values import Json

F = TypeVar("F", bound=Callable[..., Any])


class Group(click.Group):
    """A group of commands that answers an unknown name with the nearest known one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (
            args
            and self.get_command(ctx, args[0]) is None
            and not args[0].startswith("-")
        ):
            raise UnknownName("command", got=args[0], known=self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def combine(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Combine decorators into one; the help shows the first one first."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _choice(kind: str) -> click.Choice[str]:
    return click.Choice(CHOICES[kind])


def count_option(*names: str, **more: Any) -> Callable[[F], F]:
    """Make an option that takes a whole number of at least 1."""
    return click.option(*names, type=click.IntRange(min=1), **more)


def time_option(name: str, text: str) -> Callable[[F], F]:
    """Make an option that takes a duration, such as 90s; `text` is its help."""
    return click.option(name, callback=duration, metavar="TIME", help=text)


storage_option = click.option(
    "--storage",
    metavar="URL",
    help="Database of the studies. [env var: LRSEARCH_STORAGE; default: sqlite:///lrsearch.db] "
    "A URL with a password belongs into the variable, not on the command line.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for programs."
)
stored_study_options = combine(study_argument, storage_option, json_option)

devices_option = click.option(
    "--devices",
    metavar="LIST",
    help="gpu, gpu:0,1 or cpu. [default: every GPU, else the CPU]",
)
checkpoints_option = click.option(
    "--checkpoints",
    type=click.Path(file_okay=False),
    help="Folder of checkpoints. [default: beside the database]",
)
space_options = combine(
    click.option(
        "--optimizers",
        callback=names,
        metavar="A,B,...",
        help="Search these optimizers.",
    ),
    click.option(
        "--schedules",
        callback=names,
        metavar="A,B,...",
        help="Search these schedule shapes.",
    ),
    click.option(
        "--learning-rate",
        callback=peak_rates,
        multiple=True,
        metavar="[NAME=]LOW,HIGH",
        help="Search peak rates between these; "
        "with NAME= for one optimizer, and again for another.",
    ),
    click.option(
        "--warmup",
        callback=numbers,
        metavar="F|LOW,HIGH",
        help="Warm-up, as a fraction of the run.",
    ),
    click.option(
        "--final",
        callback=numbers,
        metavar="F|LOW,HIGH",
        help="Final rate, as a fraction of the peak.",
    ),
    click.option(
        "--batch-size",
        callback=sizes,
        metavar="N,...",
        help="Search these batch sizes.",
    ),
    click.option(
        "--extra",
        callback=extras,
        multiple=True,
        metavar="NAME=LOW,HIGH|NAME=A/B/...",
        help="Search a value that build_model(params) reads, "
        "between two numbers or among choices; again for another.",
    ),
    click.option(
        "--fine-tuning",
        is_flag=True,
        default=None,
        help="Begin from the space for pretrained models.",
    ),
)
worker_options = combine(
    devices_option,
    count_option(
        "--workers",
        help="Worker processes. "
        "[default: one per GPU; one per CPU core, fewer where memory or trials are fewer]",
    ),
    count_option(
        "--threads",
        help="CPU threads of each worker. "
        "[default: the cores, divided; what was interrupted keeps its number]",
    ),
    count_option("--per-device", help="Workers that share each GPU. [default: 1]"),
    count_option(
        "--gpus-per-trial",
        help="GPUs of each worker, for a model under tf.distribute.MirroredStrategy. [default: 1]",
    ),
)
output_options = combine(
    click.option("--quiet", "-q", is_flag=True, help="Print the answer alone."),
    click.option(
        "--verbose",
        "-v",
        is_flag=True,
        help="Say more, and show what the study file prints.",
    ),
    click.option(
        "--log-file",
        type=click.Path(dir_okay=False),
        help="Append every event to this file, one JSON object per line.",
    ),
)
search_options = combine(
    click.option(
        "--trials",
        type=int,
        help="The study's total of trials. [default: 40; no limit under --timeout alone]",
    ),
    click.option(
        "--trainings",
        type=int,
        help="The study's total of trainings, retests included: exactly so many.",
    ),
    time_option(
        "--timeout", "End within this time from now, retests included: 90s, 45m, 8h."
    ),
    click.option(
        "--sampler",
        type=_choice("sampler"),
        help="What proposes settings. [default: auto]",
    ),
    click.option(
        "--pruner",
        type=_choice("pruner"),
        help="What stops weak trials early. [default: auto]",
    ),
    click.option(
        "--seed",
        type=int,
        help="Seed of the search; repeats it with one worker. [default: the study file's]",
    ),
    click.option(
        "--retest",
        type=int,
        help="Fresh seeds for three settings and yours at the end; 0: none. [default: 3]",
    ),
    click.option(
        "--retries",
        type=int,
        help="Attempts that a trial may lose with its worker. [default: 2]",
    ),
)
training_options = combine(
    click.option(
        "--engine",
        type=_choice("engine"),
        default="auto",
        show_default=True,
        help="How trials are trained.",
    ),
    time_option("--trial-timeout", "Treat an attempt that runs longer as hung."),
    checkpoints_option,
    time_option("--checkpoint-every", "Time between checkpoints. [default: 60s]"),
    click.option(
        "--checkpoint-quota",
        callback=size,
        metavar="SIZE",
        help="The most room for checkpoints: 500M, 20G.",
    ),
    click.option(
        "--accept-change",
        multiple=True,
        metavar="FIELD",
        help="Go on though FIELD of the definition, as the refusal names it, has changed; "
        "the answer names the change.",
    ),
    click.option(
        "--allow-version-drift",
        is_flag=True,
        help="Go on under other Optuna, Keras or TensorFlow versions.",
    ),
)


until_option = click.option(
    "--until",
    type=_choice("until"),
    default="done",
    show_default=True,
    help="Leave when the study is done; idle: already when there is nothing to train now; "
    "unneeded: when that has been so for a minute, in which the trial of a worker that died would "
    "have come back.",
)
study_file_option = click.option(
    "--study-file",
    type=click.Path(path_type=Path),
    help="Its file here. [default: the path it was started with]",
)
# Of the commands that train more of a stored study and show the answer: retest,
# compare.
more_training_options = combine(
    storage_option,
    study_file_option,
    worker_options,
    training_options,
    output_options,
    json_option,
)
study_options = combine(
    click.argument("study_file", type=click.Path(path_type=Path)),
    click.option("--name", help="The study's name. [default: the file's, without .py]"),
    storage_option,
    search_options,
    space_options,
    worker_options,
    training_options,
)


def space_overrides(given: dict[str, Any]) -> dict[str, Json]:
    """Take the options of the search space out of `given`, and return those that are set."""
    options = {name: given.pop(name) for name in SPACE if name in given}
    return {name: value for name, value in options.items() if value is not None}


def take_options(given: dict[str, Any]) -> tuple[SearchOptions, MachineOptions]:
    """Take the options of the search and of the machine out of `given`.

    Errors name an option as on the command line.
    """
    from lrsearch.options import NAMES, split_options
    from lrsearch.rules import WHOLE

    options = {name: given.pop(name) for name in NAMES if name in given}
    try:
        return split_options({**options, "overrides": space_overrides(given)})
    except InvalidValue as error:
        field = str(error.field).replace("_", "-").removeprefix("--")
        allowed = str(error.allowed).removeprefix(WHOLE)  # click has checked that part
        raise InvalidValue(f"--{field}", got=error.got, allowed=allowed) from None


def show_progress(
    tracker: Listener | None = None,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    log_file: str | None,
) -> AbstractContextManager[Listener]:
    """Show progress by the output options, none with --json; `tracker` hears all of it, too."""
    # late: this import takes longer than all of --help
    from lrsearch.progress import watching

    quiet = quiet or as_json
    return watching.show_progress(
        tracker, quiet=quiet, verbose=verbose, log_file=log_file
    )


def echo(data: Json, text: str, *, as_json: bool) -> None:
    """Print `data` as JSON for programs, or `text` for people."""
    if as_json:
        echo_json(data)
    else:
        click.echo(text)


def echo_json(data: Json) -> None:
    """Print `data` as indented JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))
