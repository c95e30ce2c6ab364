"""Trackers: `lrsearch log`, and the process beside a search that `--log-to` starts."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING

import click

from lrsearch.cli.opening import open_study
from lrsearch.cli.options import echo, stored_study_options

if TYPE_CHECKING:
    from lrsearch.messages import Listener

# For what has ended in the last moment, once the search itself is over.
LAST_SECONDS = 20.0

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
    help="Go on until the study has ended, or the standard input does.",
)
@stored_study_options
def log(
    study: str, *, to: tuple[str, ...], follow: bool, storage: str | None, as_json: bool
) -> None:
    """Send the trainings of STUDY that have ended to trackers: a run for each, retests included.

    A run has the setting, the curve with the rate, the state and the value. Runs that are there
    already are left out.
    """
    from lrsearch.trackers import Place
    from lrsearch.trackers.sending import Sender
    from lrsearch.trackers.sending import follow as follow_study

    places = [Place.parse(each) for each in to]
    with open_study(study, storage) as (ledger, _):
        senders = [Sender(ledger, study, each) for each in places]
        over = threading.Event()
        if follow:
            threading.Thread(target=_watch_input, args=(over,), daemon=True).start()
        else:
            over.set()
        follow_study(senders, over, lambda text: click.echo(f"lrsearch: {text}", err=True))
        sent = {str(each.place): each.count for each in senders}
    text = "\n".join(f"{count} runs sent to {place}" for place, count in sent.items())
    echo({"study": study, "sent": sent}, text, as_json=as_json)


def _watch_input(over: threading.Event) -> None:
    """Set `over` at the end of the standard input: the search beside this process has ended."""
    with suppress(OSError, ValueError):
        while sys.stdin.buffer.read(1):
            pass
    over.set()


@contextmanager
def track(places: Sequence[str], storage: str | None, listen: Listener) -> Iterator[Listener]:
    """Yield a listener that starts a sender once the study is there, and passes messages on.

    Raises InvalidValue and EnvironmentProblem before anything begins.
    """
    if not places:
        yield listen
        return
    from lrsearch.messages import Event, StudyBegun
    from lrsearch.trackers import Place

    words = [word for each in places for word in ("--to", str(Place.parse(each)))]
    words += [] if storage is None else ["--storage", storage]
    started: list[subprocess.Popen[bytes]] = []

    def hear(event: Event) -> None:
        if isinstance(event.message, StudyBegun) and not started:
            started.append(_start(event.message.study, words))
        listen(event)

    try:
        yield hear
    finally:
        for each in started:
            _end(each)


def _start(study: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    from lrsearch.clusters.tasks import find_program

    return subprocess.Popen(  # noqa: S603 - our own program
        [*find_program(), "log", "--follow", *words, "--", study],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C reaches the search alone
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the sender send what is left; it is ended where that takes too long."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(LAST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        words = process.args
        assert isinstance(words, list)
        study, to = quote(str(words[-1])), str(words[words.index("--to") + 1])
        fix = f"send the rest with: lrsearch log {study} --to {quote(to)}"
        click.echo(f"lrsearch: the tracker takes longer than {LAST_SECONDS:g} s; {fix}", err=True)
