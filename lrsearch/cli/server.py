"""Commands that set things up: doctor, a private database, migrations."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from lrsearch.cli.opening import columns
from lrsearch.cli.options import (
    Group,
    devices_option,
    echo,
    echo_json,
    json_option,
    storage_option,
)

if TYPE_CHECKING:
    from lrsearch.setup.database_server import DatabaseServer
    from lrsearch.setup.doctor import Check
    from lrsearch.values import Json


@click.command("doctor")
@click.argument(
    "study_file",
    required=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@devices_option
@storage_option
@json_option
def doctor(
    *, study_file: Path | None, devices: str | None, storage: str | None, as_json: bool
) -> None:
    """Check this machine, and STUDY_FILE on it.

    Libraries, devices, database, memory, a training of two steps.

    Exits with 3 where something is not well, and says what to do.
    """
    from lrsearch.options import MachineOptions
    from lrsearch.setup.doctor import diagnose

    checks = []
    for check in diagnose(MachineOptions(storage=storage, devices=devices), study_file):
        checks.append(check)
        if not as_json:
            click.echo(_check_text(check, columns()))
    if as_json:
        echo_json([each.to_json() for each in checks])
    if not all(each.well for each in checks):
        raise click.exceptions.Exit(3)


def _check_text(check: Check, width: int | None) -> str:
    """A finding's line.

    A good finding is cut to the terminal's width; another one is broken into lines, so
    that nothing is lost.
    """
    from lrsearch.report.layout import paragraph, shorten

    line = f"{'ok ' if check.well else 'NOT'}  {check.name:<12} {check.text}"
    if check.well:
        return shorten(line, width)
    fix = [paragraph(f"     {check.fix}", width, hang=" " * 5)] if check.fix else []
    return "\n".join([paragraph(line, width, hang=" " * 18), *fix])


@click.group("database", cls=Group)
def database() -> None:
    """Run a private PostgreSQL of your own, for clusters without a database server."""


folder_option = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the server's data and URL.",
)


@database.command("start")
@folder_option
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    help="Address to serve; '*' for every address of this host.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="[default: a free one, kept over restarts]",
)
@json_option
def start(*, folder: Path, listen: str, port: int | None, as_json: bool) -> None:
    """Start the server from installed binaries and write its URL, with password, to a
    file that you alone can read.
    """
    from lrsearch.setup import database_server

    server = database_server.start(folder, listen=listen, port=port)
    serves = f"PostgreSQL serves {server.address}:{server.port}. For every worker:"
    export = f"export LRSEARCH_STORAGE={quote(server.storage)}"
    echo(_place(server), f"{serves}\n\n  {export}", as_json=as_json)


@database.command("stop")
@folder_option
@json_option
def stop(*, folder: Path, as_json: bool) -> None:
    """Stop the server; its data stays."""
    from lrsearch.setup import database_server

    stopped = database_server.stop(folder)
    text = "stopped." if stopped else "no server of this folder runs on this machine."
    echo({"stopped": stopped}, text, as_json=as_json)


@database.command("status")
@folder_option
@json_option
def server_status(*, folder: Path, as_json: bool) -> None:
    """Say whether the server runs, and what to set for workers."""
    from lrsearch.setup import database_server

    server, runs = database_server.describe(folder), database_server.is_running(folder)
    how, place = "runs" if runs else "does not run", f"{server.address}:{server.port}"
    text = f"{how} at {place}; LRSEARCH_STORAGE={quote(server.storage)}"
    echo({"running": runs, **_place(server)}, text, as_json=as_json)


def _place(server: DatabaseServer) -> dict[str, Json]:
    return {"storage": server.storage, "address": server.address, "port": server.port}


@click.command("migrate")
@storage_option
@json_option
def migrate(*, storage: str | None, as_json: bool) -> None:
    """Bring the database's tables to this version of lrsearch. Stop every worker first."""
    import os

    from lrsearch.storage import migrate_database, resolve_url

    before, after = migrate_database(resolve_url(storage, os.environ))
    newest = f"schema {after} is the newest; nothing to do."
    text = newest if before == after else f"schema {before} -> {after}."
    echo({"before": before, "after": after}, text, as_json=as_json)
