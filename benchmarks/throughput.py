"""What a trial costs: one list of settings through lrsearch's engines, their bare
loops, Optuna, KerasTuner and Ray Tune.

    python benchmarks/throughput.py WORKLOAD --peers-python PATH [--rounds 3] [--engines
    auto,vectorized,graph,fit] [--quick]

WORKLOAD is digits, mnist, transformer or gru (benchmarks/contest/workloads.py). Every
contender trains the first N settings of one seeded list, each for the same epochs with
the validation after every one; for two N, so that a further trial's cost stands apart
from the start-up. Rounds are interleaved, every run is a fresh process, and a run in
which a trial is missing or ended early is shown and not counted. lrsearch runs as its
users run it: `lrsearch start-study`, worker processes, ledger on SQLite, curves and
Optuna's rows. The peers train with `model.fit` in an environment of their own, which
needs

    pip install tensorflow keras keras-tuner 'ray[tune]' optuna scikit-learn tensorboard

of the same versions; without --peers-python they are left out. Results go to a JSON
file after every run; the same command goes on where it was stopped. LRSEARCH_DATA names
the folder with the data's files (else Keras downloads them).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "contest"))

from contenders import (
    KINDS,
    PEERS,
    RunFailed,
    Task,
    inspect,
    known_engines,
    peers_versions,
)
from tables import against_peers, around_the_loop, figures, measured_rates, table
from workloads import WORKLOADS

from lrsearch.version import versions

ENGINES = ("auto", "vectorized", "graph", "fit")


@dataclass(kw_only=True)
class Contest:
    """The runs so far, kept in a file."""

    file: Path
    runs: list[dict[str, Any]]

    @classmethod
    def opened(cls, file: Path) -> Contest:
        return cls(
            file=file,
            runs=json.loads(file.read_text())["runs"] if file.exists() else [],
        )

    def has(self, **key: Any) -> bool:
        return any(
            all(run[name] == value for name, value in key.items()) for run in self.runs
        )

    def write(self, about: dict[str, Any]) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({**about, "runs": self.runs}, indent=1) + "\n")
        new.replace(self.file)


def main() -> int:
    given = arguments()
    workload = WORKLOADS[given.workload]
    lengths = given.lengths or (workload.quick if given.quick else workload.lengths)
    contenders = chosen(given)
    peers = peers_versions(given.peers_python) if given.peers_python else {}
    about = {"machine": machine(), "versions": versions(), "peers": peers}
    tell_versions(about)
    contest = Contest.opened(Path(given.output))
    until = time.monotonic() + given.stop_after
    if any(each.startswith("lrsearch ") for each in contenders):
        inspect(given.workload)
    for place, contender, count in schedule(
        contenders, 1 if given.quick else given.rounds, lengths
    ):
        if contest.has(
            workload=given.workload, contender=contender, round=place, count=count
        ):
            continue
        if time.monotonic() > until:
            print("stopped after --stop-after; the same command goes on")
            break
        task = Task(
            workload=given.workload,
            count=count,
            peers_python=given.peers_python,
            timeout=given.timeout,
        )
        contest.runs.append(one_run(contender, place, task))
        contest.write(about)
    contest.write(
        {**about, "figures": show(contest, given.workload, contenders, lengths)}
    )
    return int(
        any(
            each["problems"]
            for each in contest.runs
            if each["workload"] == given.workload
        )
    )


def one_run(contender: str, place: int, task: Task) -> dict[str, Any]:
    """Run it, say how it went, and return what is kept."""
    kind, _, name = contender.partition(" ")
    run: dict[str, Any] = {
        "workload": task.workload,
        "contender": contender,
        "round": place,
        "count": task.count,
    }
    run |= {
        "at": time.time(),
        "load": os.getloadavg()[0],
        "seconds": None,
        "span": None,
        "epochs": 0,
        "facts": {},
    }
    try:
        result = KINDS[kind](name, task)
    except (RunFailed, OSError, ValueError, LookupError) as error:
        # the others: what it printed or logged is not what it should
        run["problems"] = [f"{type(error).__name__}: {error}"]
    else:
        run |= {"seconds": result.seconds, "span": result.span, "facts": result.facts}
        run |= {
            "epochs": sum(epochs for _, epochs, _ in result.trials),
            "problems": result.problems(task) if task.count else [],
        }
        run["values"] = [value for _, _, value in sorted(result.trials)]
    took = f"{run['seconds']:8.1f} s" if run["seconds"] is not None else "   FAILED"
    print(
        f"round {place}  {contender:<20} {task.count or '':>4}  {took}  {' '.join(run['problems'])}",
        flush=True,
    )
    return run


def schedule(
    contenders: list[str], rounds: int, lengths: tuple[int, int]
) -> Iterator[tuple[int, str, int]]:
    """Round, contender, number of trials.

    Each round begins with another contender, so that none always follows the same one.
    """
    for place in range(1, rounds + 1):
        yield place, "rates", 0
        turn = (place - 1) % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            for count in lengths:
                yield place, contender, count


def chosen(given: argparse.Namespace) -> list[str]:
    """The contenders that can run here; the others are named aloud."""
    known = known_engines()
    engines = [each for each in given.engines.split(",") if each]
    for each in engines:
        if each not in known:
            print(
                f"skipped: engine {each}, which this lrsearch does not have ({', '.join(known)})"
            )
    engines = [each for each in engines if each in known]
    loops = (
        [] if given.no_loops or given.quick else [f"loop {each}" for each in engines]
    )
    peers = [each for each in given.peers.split(",") if each]
    if peers and not given.peers_python:
        print(f"skipped: {', '.join(peers)}; give --peers-python")
    return (
        [f"lrsearch {each}" for each in engines]
        + loops
        + [f"peer {each}" for each in peers if given.peers_python]
    )


def show(
    contest: Contest, workload: str, contenders: list[str], lengths: tuple[int, int]
) -> list[dict[str, Any]]:
    """Print the table, the loop's comparison, and every problem; returns the table's figures."""
    runs = [each for each in contest.runs if each["workload"] == workload]
    flops, rates = measured_rates(runs)
    rows = against_peers(
        [figures(runs, each, lengths, flops, rates) for each in contenders]
    )
    low, high = lengths
    print(
        f"\n{workload}: {high} trials whole; a further trial between {low} and {high}; medians\n\n{table(rows)}\n"
    )
    if rates:
        shown = ", ".join(
            f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items()
        )
        print(f"useful arithmetic {flops / 1e9:.2f} GFLOP a trial; matmul {shown}")
    for name, ratios in around_the_loop(rows).items():
        print(
            f"{name} over its training loop alone: "
            + ", ".join(f"{what} {ratio:.2f}" for what, ratio in ratios.items())
        )
    for run in runs:
        for problem in run["problems"]:
            print(
                f"NOT COUNTED: round {run['round']}, {run['contender']}, {run['count']} trials: {problem}"
            )
    return rows


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith("model name")
    ]
    return {
        "cpu": (models or [platform.processor()])[0],
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
    }


def tell_versions(about: dict[str, Any]) -> None:
    ours, peers = about["versions"], about["peers"]
    here = about["machine"]
    print(
        f"{here['cpu']}, {here['cores']} cores; TensorFlow {ours['tensorflow']}, Keras {ours['keras']}; the peers' {peers}"
    )
    for name in ("tensorflow", "keras"):
        if peers and peers[name] != ours[name]:
            print(
                f"CAUTION: the peers have {name} {peers[name]}, lrsearch {ours[name]}"
            )


def two_numbers(text: str) -> tuple[int, int]:
    """SHORT,LONG as numbers."""
    short, long = map(int, text.split(","))
    if not 0 < short < long:
        raise ValueError(text)
    return short, long


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument(
        "--peers-python", metavar="PATH", help="the Python of the peers' environment"
    )
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument(
        "--no-loops",
        action="store_true",
        help="leave out the training loops without a study",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--lengths", type=two_numbers, metavar="SHORT,LONG", help="numbers of trials"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of few trials without the loops, two or three minutes: rough, with tracing in a further trial's cost",
    )
    parser.add_argument(
        "--timeout", type=float, default=3600.0, help="seconds that one run may take"
    )
    parser.add_argument(
        "--stop-after",
        type=float,
        default=float("inf"),
        metavar="SECONDS",
        help="begin no run after this time",
    )
    parser.add_argument("--output", default="throughput.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
