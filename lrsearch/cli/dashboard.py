"""The command that serves the dashboard."""

from __future__ import annotations

import click

from lrsearch.cli.opening import opened_ledger
from lrsearch.cli.options import storage_option


@click.command("dashboard")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to serve; another than this machine's needs a token."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: a free one.")
@click.option("--allow-notes", is_flag=True, help="Let the page save notes; results it can never change. [default: look only]")
@storage_option
def dashboard(*, host: str, port: int, allow_notes: bool, storage: str | None) -> None:
    """Browse the studies in optuna-dashboard, read-only; Ctrl-C ends it.

    Served to another machine, it asks for the token in LRSEARCH_DASHBOARD_TOKEN.
    """
    import os

    from lrsearch.dashboard import serve

    with opened_ledger(storage) as ledger:
        serve(
            ledger,
            host=host,
            port=port,
            allow_notes=allow_notes,
            token=os.environ.get("LRSEARCH_DASHBOARD_TOKEN") or None,
            started=lambda url: click.echo(f"{url}  (Ctrl-C ends it)"),
        )
