"""`start-study --background`: a search in a process of its own, for programs that cannot wait."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import join

import click

from lrsearch.cli.options import echo
from lrsearch.cli.words import given_words
from lrsearch.errors import InvalidValue
from lrsearch.values import Json

FOLDER = "lrsearch-background"
# The bill is known once an engine has timed its steps; a caller may have two minutes in
# all.
BILL_SECONDS = 90.0
WAIT_SECONDS = 90  # of the command that is offered for waiting
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """A search that runs on by itself. Its files lie in a folder of its own."""

    study: str
    folder: Path
    storage: str | None  # as given on the command line
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def answer(self) -> Path:
        return self.folder / "answer.json"

    @property
    def errors(self) -> Path:
        return self.folder / "errors.txt"

    def command(self, *words: str) -> str:
        """A command about this study, as a shell takes it."""
        storage = () if self.storage is None else ("--storage", self.storage)
        return join(["lrsearch", *words, *storage, "--", self.study])

    def to_json(self, bill: dict[str, Json] | None) -> dict[str, Json]:
        return {
            "study": self.study,
            "pid": self.process.pid if self.process else None,
            "log": str(self.log),
            "errors": str(self.errors),
            "answer": str(self.answer),
            "answer_is_whole": "once the process has ended; the command of best needs no such wait",
            "bill": bill,
            "wait": self.command("status", "--json", "--wait", str(WAIT_SECONDS)),
            "stop": self.command("stop", "--json"),
            "best": self.command("best", "--json"),
        }


def search_in_background(
    study_file: Path, name: str, storage: str | None, *, as_json: bool
) -> None:
    """Start the search that this very command asks for, and say where it is and what it costs.

    Raises InvalidValue where an option needs the search to run here.
    """
    context = click.get_current_context()
    for option in ("create_only", "log_file"):
        if context.params[option]:
            field = f"--{option.replace('_', '-')}"
            allowed, fix = "left out beside --background", "Leave one of the two out."
            raise InvalidValue(field, got="given", allowed=allowed, fix=fix)
    words = given_words(context, without={"background", "as_json"})
    search = _start(["start-study", *words, "--", str(study_file)], name, storage)
    data = search.to_json(wait_for_bill(search))
    known = data["bill"]["text"] if data["bill"] else "the bill is not known yet"
    how = f"wait: {data['wait']}\nstop: {data['stop']}"
    text = f"process {data['pid']} searches {name}: {known}\n{how}"
    echo(data, text, as_json=as_json)


def _start(words: Sequence[str], study: str, storage: str | None) -> Background:
    """Start `lrsearch WORDS` in a session of its own."""
    from lrsearch.clusters.tasks import find_program

    folder = Path.cwd() / FOLDER / study
    folder.mkdir(parents=True, exist_ok=True)
    search = Background(study=study, folder=folder, storage=storage)
    search.log.unlink(missing_ok=True)
    options = ("--json", "--log-file", str(search.log))
    with search.answer.open("wb") as answer, search.errors.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*find_program(), words[0], *options, *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=errors,
            start_new_session=True,
        )
    return replace(search, process=process)


def wait_for_bill(search: Background) -> dict[str, Json] | None:
    """Wait until the bill is known, and return it; None where it is not known in time.

    A search that fails meanwhile ends this command alike, with its output and its exit
    code.
    """
    until = time.monotonic() + BILL_SECONDS
    while time.monotonic() < until:
        code = search.process.poll() if search.process else None
        bill = _read_bill(search.log)
        if bill is not None or code == 0:
            return bill
        if code is not None:
            click.echo(search.answer.read_text(encoding="utf-8"), nl=False)
            click.echo(search.errors.read_text(encoding="utf-8"), nl=False, err=True)
            raise click.exceptions.Exit(code)
        time.sleep(_POLL_SECONDS)
    return None


def _read_bill(log: Path) -> dict[str, Json] | None:
    """The bill by the messages of a log; None where none has come."""
    from lrsearch.events import Event
    from lrsearch.messages import Message, StudyBill
    from lrsearch.progress.state import ProgressState
    from lrsearch.report.bill import bill_text

    state, known, at = ProgressState(), False, 0.0
    lines = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    for line in lines:
        data = json.loads(line)
        at, slot = data.pop("at"), data.pop("slot", "")
        message = Message.from_json(data)
        state.handle(Event(message=message, slot=slot, at=at))
        known |= isinstance(message, StudyBill)
    if not known:
        return None
    bill = state.bill(at)
    return {**bill.to_json(), "text": bill_text(bill, at)}
