"""Trackers: `lrsearch log`, and the process beside a search that `--log-to` starts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

import click

from lrsearch.cli.opening import open_study
from lrsearch.cli.options import echo, stored_study_options

if TYPE_CHECKING:
    from lrsearch.events import Listener
    from lrsearch.options import MachineOptions

log_to_option = click.option(
    "--log-to",
    multiple=True,
    metavar="TRACKER=WHERE",
    help="Send every training that has ended to tensorboard=DIR, mlflow=URI or wandb=PROJECT; "
    "again for another.",
)


@click.command("log")
@click.option(
    "--to",
    "to",
    multiple=True,
    required=True,
    metavar="TRACKER=WHERE",
    help="tensorboard=DIR, mlflow=URI or wandb=PROJECT; again for another.",
)
@click.option(
    "--follow",
    is_flag=True,
    help="Go on until the study has ended.",
)
@stored_study_options
def log(
    study: str, *, to: tuple[str, ...], follow: bool, storage: str | None, as_json: bool
) -> None:
    """Send the trainings of STUDY that have ended to trackers: a run for each, retests included.

    A run has the setting, the curve with the rate, the state and the value. Runs that
    are there already are left out.
    """
    from lrsearch.trackers import Place
    from lrsearch.trackers.process import say
    from lrsearch.trackers.sending import Sender
    from lrsearch.trackers.sending import follow as follow_study

    places = [Place.parse(each) for each in to]
    with open_study(study, storage) as (ledger, _):
        senders = [Sender(ledger, study, each) for each in places]
        over = threading.Event()
        if not follow:
            over.set()
        follow_study(senders, over, say)
        sent = {str(each.place): each.count for each in senders}
    text = "\n".join(f"{count} runs sent to {place}" for place, count in sent.items())
    echo({"study": study, "sent": sent}, text, as_json=as_json)


def track(
    places: Sequence[str], machine: MachineOptions
) -> AbstractContextManager[Listener]:
    """Have a search sent to `places` meanwhile, as --log-to asks, by the listener that this gives.

    What follows the search within the block, such as the answer, does not wait for the
    trackers.
    """
    from lrsearch.trackers.beside import send_beside

    return send_beside(places, lambda: machine.url, partial(click.echo, err=True))
