"""The process beside a search that sends its trainings to trackers while the search goes on.

The process is `trackers/process.py`. It begins with the search and loads its libraries
while cores are free: before the workers start, and while one of them inspects the
study.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from shlex import join

from lrsearch.events import Event, Listener
from lrsearch.messages import PoolEnded, StudyBegun
from lrsearch.progress.listeners import ignore
from lrsearch.trackers.places import Place

# For what has ended in the last moment, once the search itself is over.
LAST_SECONDS = 30.0
_PROGRAM = (sys.executable, "-P", "-m", "lrsearch.trackers.process")

Say = Callable[[str], None]


@contextmanager
def send_beside(
    places: Sequence[str], storage: Callable[[], str], say: Say
) -> Iterator[Listener]:
    """Yield a listener that has the study sent to `places` while it hears of a search.

    From the workers' end on, the process sends what is left; the block's end waits for
    it. So the caller does within the block what it still has to do then, such as
    printing the answer. `storage` gives the database's URL, secrets included; `say`
    gets lines for people. Raises InvalidValue and EnvironmentProblem before anything
    begins.
    """
    if not places:
        yield ignore
        return
    sender = _Beside([str(Place.parse(each)) for each in places], storage(), say)

    def hear(event: Event) -> None:
        match event.message:
            case StudyBegun(study=study):
                sender.follow(study)
            case PoolEnded():
                sender.conclude()
            case _:
                pass

    sender.start()
    try:
        yield hear
    finally:
        sender.end()


class _Beside:
    """The process, from its start to its end."""

    def __init__(self, places: Sequence[str], storage: str, say: Say) -> None:
        self._places, self._storage, self._say = places, storage, say
        self._study: str | None = None
        self._failure = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; it loads the trackers' libraries."""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*_PROGRAM, *self._places],
                # the URL may hold a password, which no command line may show
                env=os.environ | {"LRSEARCH_STORAGE": self._storage},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # a terminal's Ctrl-C reaches the search alone
            )
        except OSError as error:
            self._failure = (
                f"no process can be started for the tracker: {error.strerror}"
            )
            return
        self._relay = threading.Thread(
            target=self._pass_on, args=(self._process,), daemon=True
        )
        self._relay.start()

    def follow(self, study: str) -> None:
        """Let it send the trainings of `study`."""
        if self._study is not None:
            return
        self._study = study
        if self._process is None:
            self._warn(self._failure)
            return
        assert self._process.stdin is not None
        with suppress(OSError):  # it has left, and has said why
            self._process.stdin.write(f"{study}\n")
            self._process.stdin.flush()

    def conclude(self) -> None:
        """Let it send what is left, and leave."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """Wait until it has left; it is killed where that takes too long, or has no study."""
        if self._process is None:
            return
        self.conclude()
        if self._study is None:
            self._process.kill()
        try:
            self._process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._warn(f"the tracker takes longer than {LAST_SECONDS:g} s")
        # what the tracker's library started may hold the pipe for longer
        self._relay.join(1.0)

    def _warn(self, text: str) -> None:
        to = [word for each in self._places for word in ("--to", each)]
        later = join(["lrsearch", "log", str(self._study), *to])
        self._say(f"lrsearch: {text}; send the rest with: {later}")

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        """Say what it says, in this process' own streams: a live view moves around it."""
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._say(line.rstrip("\n"))
