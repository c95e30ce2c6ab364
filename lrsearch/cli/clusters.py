"""`lrsearch attach --on`: hands workers to a cluster, and leaves one in time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.failures import MissingOption
from lrsearch.cli.opening import open_study
from lrsearch.cli.options import combine, echo, time_option
from lrsearch.cli.words import given_words
from lrsearch.errors import InvalidValue

if TYPE_CHECKING:
    from lrsearch.clusters import WorkerTasks

CLUSTERS = ("slurm", "k8s", "ray")
# Options that are about the cluster; all others are the workers' own.
_OURS = frozenset({"on", "dry_run", "image", "workers", "until", "as_json"})

cluster_options = combine(
    click.option(
        "--on",
        type=click.Choice(CLUSTERS),
        help="Let a cluster start --workers tasks, each with one worker.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="With --on: print what would be submitted."
    ),
    click.option("--image", help="With --on k8s: the container's image."),
)
leave_by_option = time_option(
    "--leave-by",
    "Leave within this time from now, with everything saved: 50m, 8h. "
    "[default: in time for the end of a Slurm job]",
)


def leaving_time(seconds: float | None) -> float | None:
    """When workers that attach now must have left, in seconds since 1970; None: never."""
    from lrsearch.clusters.slurm import read_leaving_time

    return read_leaving_time(os.environ) if seconds is None else time.time() + seconds


def check_cluster_options(
    on: str | None, *, dry_run: bool, image: str | None, flags: tuple[str, ...]
) -> None:
    """Refuse what means something on a cluster alone. Raises UsageError and InvalidValue."""
    if on != "k8s" and image is not None:
        raise InvalidValue("--image", got=image, allowed="left out without --on k8s")
    if on is None and dry_run:
        raise InvalidValue("--dry-run", got="given", allowed="left out without --on")
    if on is None and flags:
        extra = f"Got unexpected extra arguments ({' '.join(flags)})"
        raise click.UsageError(
            f"{extra}: what follows -- needs --on slurm, k8s or ray."
        )


def make_tasks(
    study: str, flags: tuple[str, ...], options: dict[str, Any]
) -> WorkerTasks:
    """Make the tasks of what `lrsearch attach --on` was given. Raises MissingOption."""
    from lrsearch.clusters import WorkerTasks

    if options["workers"] is None:
        what = "With --on, --workers says how many tasks the cluster runs, each with one worker."
        raise MissingOption(what, field="--workers", allowed=["--workers N"])
    context = click.get_current_context()
    source = context.get_parameter_source("until")
    return WorkerTasks(
        study=study,
        workers=options["workers"],
        options=given_words(context, without=_OURS),
        until=options["until"]
        if source is click.core.ParameterSource.COMMANDLINE
        else None,
        flags=flags,
        image=options["image"],
        gpu=(options["devices"] or "").startswith("gpu"),
        threads=options["threads"],
        checkpoints=options["checkpoints"],
    )


def submit_tasks(
    name: str, tasks: WorkerTasks, *, dry_run: bool, storage: str | None, as_json: bool
) -> None:
    """Submit `tasks` to the cluster of that name, or print what would be submitted."""
    from lrsearch.clusters import kubernetes, ray, slurm

    cluster = {"slurm": slurm, "k8s": kubernetes, "ray": ray}[name]
    data = {"study": tasks.study, "on": name, "workers": tasks.workers}
    text = cluster.describe(tasks)
    if dry_run:
        echo({**data, "text": text}, text.removesuffix("\n"), as_json=as_json)
        return
    if name != "k8s":  # its database is seldom seen from outside
        _check_study(tasks.study, storage)
    done = cluster.submit(tasks)
    echo({**data, "job": done.job}, done.text, as_json=as_json)


def _check_study(study: str, storage: str | None) -> None:
    """Refuse what every worker would refuse: an unknown study, or SQLite, which serves one host."""
    from lrsearch.storage import resolve_url

    if resolve_url(storage, os.environ).startswith("sqlite"):
        fix = "Run a PostgreSQL of your own: lrsearch database start --dir DIR --listen '*'"
        allowed = "a database that several hosts reach"
        raise InvalidValue("--storage", got="SQLite", allowed=allowed, fix=fix)
    with open_study(study, storage):
        pass
