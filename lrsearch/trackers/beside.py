"""The process beside a search that sends its trainings to trackers while the search goes on.

It is `lrsearch log --follow`, which begins when the first training has ended: what a tracker's
library costs to load then falls into no calibration and no first trace.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import join

from lrsearch.messages import Event, Listener, PoolEnded, StudyBegun, TrialEnded
from lrsearch.progress.listeners import ignore
from lrsearch.trackers.places import Place

# For what has ended in the last moment, once the search itself is over.
LAST_SECONDS = 20.0
# A sender whose libraries are loaded gets a ninth of what a training gets of a core that both want.
NICE = 10
_PROGRAM = (sys.executable, "-P", "-m", "lrsearch")
_AUTOGROUP = Path("/proc/self/autogroup")  # where it is there, niceness counts among sessions by it

Say = Callable[[str], None]


@contextmanager
def send_beside(places: Sequence[str], storage: Callable[[], str], say: Say) -> Iterator[Listener]:
    """Yield a listener that has the study sent to `places` while it hears of a search.

    From the workers' end on, the process sends what is left; the block's end waits for it. So the
    caller does within the block what it still has to do then, such as printing the answer.
    `storage` gives the database's URL, secrets included; `say` gets lines for people. Raises
    InvalidValue and EnvironmentProblem before anything begins.
    """
    if not places:
        yield ignore
        return
    sender = _Beside([str(Place.parse(each)) for each in places], storage(), say)

    def hear(event: Event) -> None:
        match event.message:
            case StudyBegun(study=study):
                sender.study = study
            case TrialEnded():
                sender.start()
            case PoolEnded():
                sender.conclude()
            case _:
                pass

    try:
        yield hear
        sender.start()  # the study may have been over already
    finally:
        sender.end()


def give_way() -> None:
    """Let trainings on this machine go first from now on."""
    os.nice(NICE)
    with suppress(OSError):
        _AUTOGROUP.write_text(str(NICE))


class _Beside:
    """The process, from its start to its end."""

    def __init__(self, places: Sequence[str], storage: str, say: Say) -> None:
        self._to = [word for each in places for word in ("--to", each)]
        self._storage, self._say = storage, say
        self.study: str | None = None
        self._process: subprocess.Popen[str] | None = None
        self._tried = False

    def start(self) -> None:
        """Start it, where there is a study and it has not been started."""
        if self._tried or self.study is None:
            return
        self._tried = True
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*_PROGRAM, "log", "--follow", *self._to, "--", self.study],
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
            self._warn(f"no process can be started for the tracker: {error.strerror}")
            return
        self._relay = threading.Thread(target=self._pass_on, args=(self._process,), daemon=True)
        self._relay.start()

    def conclude(self) -> None:
        """Let it send what is left, and leave."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """Wait until it has left; it is killed where that takes too long."""
        if self._process is None:
            return
        self.conclude()
        try:
            self._process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._warn(f"the tracker takes longer than {LAST_SECONDS:g} s")
        self._relay.join(1.0)  # what the tracker's library started may hold the pipe for longer

    def _warn(self, text: str) -> None:
        later = join(["lrsearch", "log", str(self.study), *self._to])
        self._say(f"lrsearch: {text}; send the rest with: {later}")

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        """Say what it says, in this process' own streams: a live view moves around it."""
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._say(line.rstrip("\n"))
