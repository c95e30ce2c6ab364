"""Ray: an actor for each worker, by Ray's core alone.

An actor that dies with its node is restarted on another one, and runs its task again.
The process that an actor starts dies with it: the kernel sends SIGTERM, and the trial
goes back to the queue.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from shlex import join
from typing import Any, NoReturn

from lrsearch.clusters.tasks import Submitted, WorkerTasks, find_program
from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.values import Json

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_OURS = "LRSEARCH_"  # variables that a worker needs on another node, too


class _Flags(argparse.ArgumentParser):
    """Raises InvalidValue, where argparse would leave."""

    def error(self, message: str) -> NoReturn:
        allowed = "--address A, --num-cpus N, --num-gpus N, which may be fractions"
        raise InvalidValue("a flag for ray", got=message, allowed=allowed)


def _read_flags(tasks: WorkerTasks) -> argparse.Namespace:
    parser = _Flags(add_help=False, allow_abbrev=False)
    parser.add_argument("--address", default=os.environ.get("RAY_ADDRESS", "auto"))
    parser.add_argument("--num-cpus", type=float, default=float(tasks.threads or 1))
    parser.add_argument("--num-gpus", type=float, default=float(tasks.gpu))
    return parser.parse_args(tasks.flags)


def describe(tasks: WorkerTasks) -> str:
    """What an actor needs and runs, as JSON."""
    flags = _read_flags(tasks)
    data: dict[str, Json] = {
        "address": flags.address,
        "actors": tasks.workers,
        "options": _options(flags),
        "command": join(_command(tasks)),
    }
    return json.dumps(data, indent=2) + "\n"


def _options(flags: argparse.Namespace) -> dict[str, Json]:
    return {
        "num_cpus": flags.num_cpus,
        "num_gpus": flags.num_gpus,
        "max_restarts": -1,
        "max_task_retries": -1,
        "scheduling_strategy": "SPREAD",  # a node that dies takes few workers with it
    }


def _command(tasks: WorkerTasks) -> list[str]:
    return [*find_program(), *tasks.arguments("unneeded")]


def submit(tasks: WorkerTasks) -> Submitted:
    """Run the actors, and wait until all workers have left.

    Raises InvalidValue, and EnvironmentProblem where Ray is not here, its cluster does
    not answer, or a worker failed.
    """
    flags = _read_flags(tasks)
    try:
        import ray
    except ImportError:
        fix = "Install it: pip install 'lrsearch[ray]'"
        raise EnvironmentProblem("ray is not installed.", fix=fix) from None
    try:
        ray.init(address=flags.address, log_to_driver=True)
    except (ConnectionError, ValueError) as error:
        fix = "Start one with: ray start --head"
        raise EnvironmentProblem(f"no Ray cluster: {error}", fix=fix) from None
    try:
        codes = _train(ray, tasks, _options(flags))
    finally:
        ray.shutdown()
    if worst := max(codes):
        text = f"{sum(map(bool, codes))} of {tasks.workers} workers failed, with exit code {worst}."
        raise EnvironmentProblem(text, fix="Their lines above say why.")
    return Submitted(job="ray", text=f"all {tasks.workers} workers have left")


def _train(ray: Any, tasks: WorkerTasks, options: dict[str, Json]) -> list[int]:
    """Run the actors until all have ended; returns their exit codes."""
    ours = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
    make = ray.remote(Worker).options(**options).remote
    actors = [
        make(_command(tasks), ours, str(Path.cwd())) for _ in range(tasks.workers)
    ]
    running = {each.train.remote(): each for each in actors}
    actors.clear()
    codes = []
    while running:
        [ended], _ = ray.wait(list(running))
        # without a handle the actor ends, and others get what it held
        del running[ended]
        codes.append(int(ray.get(ended)))
    return codes


class Worker:
    """An actor: runs `lrsearch attach` as a process that dies with it."""

    def __init__(
        self, command: list[str], environ: dict[str, str], folder: str
    ) -> None:
        self._command, self._environ, self._folder = command, environ, folder

    def train(self) -> int:
        """Run until the worker leaves; returns its exit code."""
        done = subprocess.run(  # noqa: S603 - our own program
            self._command,
            env=os.environ | self._environ,
            cwd=self._folder,
            check=False,
            preexec_fn=_make_mortal(),  # it calls the kernel, and takes no lock
        )
        return done.returncode


def _make_mortal() -> Callable[[], Any]:
    """A function for a new process: the kernel is to send it SIGTERM when its parent dies."""
    call = ctypes.CDLL(None).prctl
    return lambda: call(_DIES_WITH_PARENT, signal.SIGTERM)
