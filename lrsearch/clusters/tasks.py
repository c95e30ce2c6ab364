"""What a cluster is to run: so many tasks, each of them one `lrsearch attach` with one worker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrsearch.errors import EnvironmentProblem

# characters; Kubernetes adds 6 to a name and 6 to a pod's, and allows 63
_LONGEST_NAME = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerTasks:
    """Tasks for one study."""

    study: str
    workers: int  # tasks, each with one worker
    options: tuple[str, ...] = ()  # of `lrsearch attach`, as words of a command line
    until: str | None = None  # when a worker leaves; the cluster's own where None
    flags: tuple[str, ...] = ()  # for the cluster's own command
    image: str | None = None  # of a container
    gpu: bool = False  # a GPU for each worker
    threads: int | None = None  # of each worker
    checkpoints: str | None = None  # their folder

    def arguments(self, until: str) -> tuple[str, ...]:
        """The words after `lrsearch` that run one worker, which leaves at `until`."""
        leave = ("--until", self.until or until)
        return ("attach", *self.options, "--workers", "1", *leave, "--", self.study)

    @property
    def slug(self) -> str:
        """The study's name as a name in a cluster: lower-case letters, digits and dashes."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.study.lower()).strip("-")
        return f"lrsearch-{plain[:_LONGEST_NAME]}".rstrip("-")


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """What a cluster has taken."""

    job: str  # the cluster's name of it
    text: str  # a line for people: what was submitted, and how it is ended


def find_program() -> tuple[str, ...]:
    """The words that run this very lrsearch on another node that has the same file system."""
    called = Path(sys.argv[0])
    if called.name == "lrsearch" and called.is_file():
        return (str(called.resolve()),)
    found = None if called.name == "__main__.py" else shutil.which("lrsearch")
    return (found,) if found else (sys.executable, "-P", "-m", "lrsearch")


def run_client(command: Sequence[str], text: str) -> str:
    """Give `text` to a cluster's own command; returns what the command printed.

    Raises EnvironmentProblem where the command is not here or refuses.
    """
    program = command[0]
    try:
        done = subprocess.run(  # noqa: S603 - the cluster's own client
            command, input=text, capture_output=True, text=True, check=False
        )
    except OSError as error:
        fix = f"Log in where {program} is, or take what --dry-run prints there."
        raise EnvironmentProblem(
            f"cannot run {program}: {error.strerror}.", fix=fix
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        fix = "--dry-run prints what was submitted."
        raise EnvironmentProblem(f"{program} refused: {said}", fix=fix)
    return done.stdout.strip()
