"""Whole searches against Optuna, KerasTuner and Ray Tune on the same budget of training.

    python benchmarks/race.py --peers-python PATH [TASK ...] [--runs 12] [--seeds 5] [--judge 3]
        [--contenders NAME,...] [--stop-after SECONDS] [--file race.jsonl]

TASK is mlp, characters or cnn (benchmarks/racing/tasks.py; all). Every contender
searches one task with one worker of one thread and pays for --runs full trainings:
lrsearch counts its retests among them, the peers begin no trial once the epochs are
trained. Each pick is then trained --judge times on fresh seeds by plain `model.fit`,
the same seeds for all, and scored on rows that no search saw. `yours` is the compile in
the task, which pays nothing. Each finished study is a line of --file; the same command
goes on where it stood. A study that fails is named, and tried again by the next call.
The peers' environment needs what benchmarks/throughput.py names. LRSEARCH_DATA names
the folder with the data's files.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contest.processes import RunFailed
from racing.arguments import make_parser, parse, read_records
from racing.contenders import CONTENDERS, Pick, Search, losses_of
from racing.results import Record, report
from racing.tasks import TASKS

_KEY = ("task", "contender", "seed", "runs", "judge")


@dataclass(frozen=True, kw_only=True, slots=True)
class Race(Search):
    """A search, and how often its pick is trained again."""

    judge: int

    @property
    def key(self) -> dict[str, Any]:
        """What a record is found by."""
        return {name: getattr(self, name) for name in _KEY}


def judged(race: Race, pick: Pick) -> list[float]:
    """The pick's test losses on fresh seeds, the same for every contender of this seed."""
    seeds = [1_000_000 + 1000 * race.seed + place for place in range(race.judge)]
    options = {"peers_python": race.peers_python, "timeout": race.timeout}
    return losses_of(race.task, [pick], seeds, **options)[0]["test"]


def schedule(given: argparse.Namespace) -> Iterator[Race]:
    """Task after task; within one, seed after seed, so that all contenders have as many seeds."""
    for task in given.tasks or TASKS:
        for seed in range(given.seeds):
            for contender in given.contenders:
                yield Race(
                    task=task,
                    contender=contender,
                    seed=seed,
                    runs=given.runs,
                    judge=given.judge,
                    peers_python=given.peers_python,
                    timeout=given.timeout,
                )


def run_one(race: Race) -> Record:
    """Search, then judge. Raises RunFailed and what a result that cannot be read raises."""
    found = CONTENDERS[race.contender](race)
    found["losses"] = judged(race, found["pick"])
    return {**race.key, "load": os.getloadavg()[0], "at": time.time(), **found}


def main() -> int:
    given = arguments()
    known, failed = read_records(given.file), 0
    done = {
        json.dumps({name: each[name] for name in each if name in _KEY})
        for each in known
    }
    until = time.monotonic() + given.stop_after
    for race in schedule(given):
        if json.dumps(race.key) in done:
            continue
        if time.monotonic() > until:
            print("stopped after --stop-after; the same command goes on")
            break
        name = f"{race.task}, seed {race.seed}, {race.contender}"
        try:
            record = run_one(race)
        except (RunFailed, OSError, ValueError, LookupError) as error:
            failed += 1
            print(f"FAILED: {name}: {type(error).__name__}: {error}", flush=True)
            continue
        known.append(record)
        with given.file.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(
            f"{name}: {record['epochs']} epochs, {record['seconds']:.0f} s", flush=True
        )
    chosen = [each for each in known if each["runs"] == given.runs]
    print(f"\n{report([each for each in chosen if each['judge'] == given.judge])}")
    return int(failed > 0)


def arguments() -> argparse.Namespace:
    parser = make_parser(
        __doc__, seeds=5, judge=3, contenders=",".join(CONTENDERS), file="race.jsonl"
    )
    add = parser.add_argument
    add("--runs", type=int, default=12, help="full trainings that a search pays")
    return parse(parser)


if __name__ == "__main__":
    sys.exit(main())
