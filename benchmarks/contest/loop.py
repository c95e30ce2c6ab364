"""lrsearch's training loop alone: an engine fed from the list in processes like the
workers', without ledger, parent or curves.

    python loop.py inspect WORKLOAD
    python loop.py train WORKLOAD TRIALS ENGINE

The last line printed is JSON: what a new study's row needs, or the seconds from a
common start to the last end and the trials.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def inspect(name: str) -> dict[str, Any]:
    """The study's facts, as the first worker would find them."""
    from lrsearch.jsonable import to_json
    from lrsearch.worker.config import WorkerConfig
    from lrsearch.worker.loading import KerasLoader

    config = WorkerConfig(storage="", study_file=str(study_file(name)), checkpoints="")
    found: dict[str, Any] = to_json(KerasLoader(config).inspect())
    return found


def train(name: str, count: int, engine: str) -> dict[str, Any]:
    """Start one process a slot, let them begin together, wait for the last."""
    import os

    from lrsearch.setup.devices import inspect_machine
    from lrsearch.setup.slots import environment, plan_slots

    slots = plan_slots(inspect_machine(), trials=count).slots
    with tempfile.NamedTemporaryFile(prefix="loop-") as counter:
        command = [
            sys.executable,
            __file__,
            "slot",
            name,
            str(count),
            engine,
            counter.name,
        ]
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "text": True,
        }
        started = [
            subprocess.Popen(
                [*command, str(each.threads)],
                env=environment(each, os.environ),
                **pipes,
            )
            for each in slots
        ]
        ready = [each.stdout.readline() for each in started if each.stdout]
        began = time.time()
        for each in started if all(line == "ready\n" for line in ready) else ():
            assert each.stdin
            each.stdin.write("go\n")
            each.stdin.flush()
        ends = [json.loads(each.communicate()[0].splitlines()[-1]) for each in started]
    trials = sorted(trial for end in ends for trial in end["trials"])
    engines = sorted({each for end in ends for each in end["engines"]})
    return {
        "span": max(end["at"] for end in ends) - began,
        "slots": len(slots),
        "engines": engines,
        "trials": trials,
    }


def slot(name: str, count: int, engine: str, counter: str, threads: int) -> None:
    """One process: get ready, wait for the word, train what the counter hands out."""
    from settings import points
    from study import setting_of

    from lrsearch.definition import load_study_file
    from lrsearch.engine import bind_threads, create_engine, load_study
    from lrsearch.values import TrialSpec, Verdict

    bind_threads(threads)
    definition = load_study_file(study_file(name))
    made = create_engine(engine, load_study(definition))
    spec = TrialSpec(
        trial_id=0,
        attempt=1,
        label="",
        setting=setting_of(points(1)[0], int(definition.batch_size)),
        seed=0,
    )
    numbers = taken(Path(counter), count)
    listed = points(count)

    def source() -> TrialSpec | None:
        number = next(numbers, None)
        if number is None:
            return None
        return replace(
            spec,
            trial_id=number,
            setting=setting_of(listed[number], spec.setting.batch_size or 0),
            seed=number,
        )

    print("ready", flush=True)
    sys.stdin.readline()
    outcomes = list(
        made.train(source, lambda _: Verdict.KEEP, lambda _progress, _take: None)
    )
    trials = [
        (each.trial_id, each.epochs, each.value)
        for each in outcomes
        if each.status == "complete"
    ]
    print(
        json.dumps(
            {
                "at": time.time(),
                "trials": trials,
                "engines": sorted({each.engine for each in outcomes}),
            }
        ),
        flush=True,
    )


def taken(counter: Path, count: int) -> Iterator[int]:
    """Numbers below `count`, each taken by one process alone."""
    while True:
        with counter.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = int(file.read() or 0)
            file.seek(0)
            file.write(str(number + 1))
        if number >= count:
            return
        yield number


def study_file(name: str) -> Path:
    """The workload's study file."""
    return HERE / f"study_{name}.py"


def main() -> None:
    match sys.argv[1:]:
        case ["inspect", name]:
            print(json.dumps(inspect(name)), flush=True)
        case ["train", name, count, engine]:
            print(json.dumps(train(name, int(count), engine)), flush=True)
        case ["slot", name, count, engine, counter, threads]:
            slot(name, int(count), engine, counter, int(threads))


if __name__ == "__main__":
    main()
