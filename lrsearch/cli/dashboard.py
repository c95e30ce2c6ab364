"""The command that serves the dashboard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from lrsearch.cli.opening import open_storage
from lrsearch.cli.options import storage_option


@click.command("dashboard")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to serve; another than this machine's needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="0: a free one.",
)
@click.option(
    "--allow-notes",
    is_flag=True,
    help="Let the page save notes; results it can never change. [default: look only]",
)
@click.option(
    "--prefix",
    default="",
    metavar="PATH",
    help="The path under which a proxy shows it, such as /lrsearch. [default: none]",
)
@storage_option
def dashboard(
    *, host: str, port: int, allow_notes: bool, prefix: str, storage: str | None
) -> None:
    """Show all studies and their live reports in a browser, read-only; Ctrl-C ends it.

    A study's report renews itself while the study runs; optuna-dashboard stands beside
    it.

    Served to another machine, it asks for the token in LRSEARCH_DASHBOARD_TOKEN, or in
    the file that LRSEARCH_DASHBOARD_TOKEN_FILE names.
    """
    from lrsearch.dashboard import serve

    with open_storage(storage) as ledger:
        serve(
            ledger,
            host=host,
            port=port,
            allow_notes=allow_notes,
            token=_token(os.environ),
            prefix=prefix,
            started=lambda url: click.echo(f"{url}  (Ctrl-C ends it)"),
        )


def _token(environ: Mapping[str, str]) -> str | None:
    """The token from the environment, or from a file that it names."""
    file = environ.get("LRSEARCH_DASHBOARD_TOKEN_FILE")
    if not file:
        return environ.get("LRSEARCH_DASHBOARD_TOKEN") or None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        from lrsearch.errors import EnvironmentProblem

        text = f"cannot read LRSEARCH_DASHBOARD_TOKEN_FILE {file}: {error.strerror}."
        fix = "Name a file that you can read, or set LRSEARCH_DASHBOARD_TOKEN."
        raise EnvironmentProblem(text, fix=fix) from None
