"""What a tracker adds to a study: whole commands with and without one, in turns.

    python benchmarks/trackers.py [digits mnist] [--minutes 8] [--trials N]
        [--only mlflow]

`lrsearch start-study` runs with no tracker, with TensorBoard, with MLflow on a new
SQLite file and with Weights & Biases offline; one after another, in another order each
round, until the next round would not fit into the minutes. All of them have the same
seed, a sampler that waits for no result and no early stops, so they train the same
settings. LRSEARCH_DATA names the folder with MNIST's files; without it, Keras downloads
them.

Shown are the medians over the rounds: the command's seconds, what a tracker adds to
those of the same round without one (least and most behind it), and the seconds of a
processor that the command and all its processes took.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUDIES = {
    "digits": ROOT / "studies/digits.py",
    "mnist": ROOT / "benchmarks/contest/study_mnist.py",
}
TRIALS = {"digits": 40, "mnist": 20}
NONE = "none"
TRACKERS = {
    NONE: (),
    "tensorboard": ("--log-to", "tensorboard=runs"),
    "mlflow": ("--log-to", "mlflow=sqlite:///mlflow.db"),
    "wandb": ("--log-to", "wandb=project"),
}
ALIKE = ("--sampler", "random", "--pruner", "none", "--seed", "0", "--quiet")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A whole command."""

    seconds: float
    busy: float  # seconds of a processor


def run_study(study: str, trials: int, tracker: str) -> Run:
    """Run a study to its end in a folder of its own. Raises RuntimeError where it, or
    its tracker, does not come to the end.
    """
    words = [str(STUDIES[study]), "--name", study, "--trials", str(trials), *ALIKE]
    command = [
        sys.executable,
        "-P",
        "-m",
        "lrsearch",
        "start-study",
        *words,
        *TRACKERS[tracker],
    ]
    with tempfile.TemporaryDirectory() as folder:
        quiet = {
            "WANDB_MODE": "offline",
            "WANDB_DIR": folder,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        before, began = busy_seconds(), time.monotonic()
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        found = Run(seconds=time.monotonic() - began, busy=busy_seconds() - before)
    if (
        done.returncode
        or "send the rest" in done.stderr
        or "does not take" in done.stderr
    ):
        raise RuntimeError(
            f"{study} with {tracker}: {done.returncode} {done.stderr[-2000:]}"
        )
    return found


def busy_seconds() -> float:
    """The processor's seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    given = arguments()
    end = time.monotonic() + 60 * given.minutes
    names = [NONE, *(given.only or [each for each in TRACKERS if each != NONE])]
    rounds: dict[str, list[dict[str, Run]]] = {
        study: [] for study in given.studies or STUDIES
    }
    longest = 0.0
    while longest == 0.0 or time.monotonic() + longest < end:
        began = time.monotonic()
        for study, found in rounds.items():
            turn = len(found) % len(names)
            trials = given.trials or TRIALS[study]
            order = names[turn:] + names[:turn]
            found.append({name: run_study(study, trials, name) for name in order})
            shown = ", ".join(
                f"{name} {found[-1][name].seconds:.1f} s" for name in names
            )
            load = f"load {os.getloadavg()[0]:.1f}"
            print(
                f"round {len(found)}, {study}: {shown}; {load}",
                file=sys.stderr,
                flush=True,
            )
        longest = max(longest, time.monotonic() - began)
    print_table(rounds, names)


def print_table(rounds: dict[str, list[dict[str, Run]]], names: Sequence[str]) -> None:
    """Print a line for each study and tracker."""
    print(
        "| study | tracker | rounds | seconds | added | least to most | % | processor |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for study, found in rounds.items():
        for name in names:
            print(line_of(study, name, found))


def line_of(study: str, name: str, rounds: Sequence[dict[str, Run]]) -> str:
    """The medians of a study with a tracker, beside the same rounds without one."""
    seconds = statistics.median(each[name].seconds for each in rounds)
    busy = statistics.median(each[name].busy for each in rounds)
    cells = [study, name, str(len(rounds)), f"{seconds:.1f}"]
    if name == NONE:
        cells += ["", "", ""]
    else:
        added = [each[name].seconds - each[NONE].seconds for each in rounds]
        shares = [each[name].seconds / each[NONE].seconds - 1 for each in rounds]
        spread = f"{min(added):+.1f} to {max(added):+.1f}"
        cells += [f"{statistics.median(added):+.1f}", spread]
        cells.append(f"{100 * statistics.median(shares):+.1f}")
    return f"| {' | '.join([*cells, f'{busy:.1f}'])} |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", choices=[*STUDIES, []], default=[])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--only", action="append", choices=list(TRACKERS)[1:])
    return parser.parse_args()


if __name__ == "__main__":
    main()
