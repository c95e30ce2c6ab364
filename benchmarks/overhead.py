"""How much of a study's wall time is neither training nor TensorFlow's import.

    python benchmarks/overhead.py [STUDY_FILE] [--trials 40]

Runs `lrsearch start-study` in a new folder with its log file on, and adds up from the
log: the workers' time in training (each attempt's own seconds; those that trained
beside each other count once) and their import of TensorFlow (until the first worker is
ready). What is left of workers x wall time is overhead: inspection, calibration,
claims, sampling, curves, mirrors, waiting for the last retests, the answer.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds that lie in at least one of these spans."""
    seconds, until = 0.0, 0.0
    for begin, end in sorted(spans):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "study_file", nargs="?", default=str(ROOT / "studies" / "digits.py")
    )
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = [
            "--trials",
            str(given.trials),
            "--workers",
            str(given.workers),
            "--log-file",
            "log",
            "-q",
        ]
        options += ["--engine", given.engine]
        command = [
            sys.executable,
            "-m",
            "lrsearch",
            "start-study",
            given.study_file,
            *options,
        ]
        began = time.time()
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wall = time.time() - began
        events = [
            json.loads(line) for line in Path(folder, "log").read_text().splitlines()
        ]
    ready = [each["at"] - began for each in events if each["event"] == "ready"]
    ends = [each for each in events if each["event"] == "trial.ended"]
    spans: dict[str, list[tuple[float, float]]] = {}
    for each in ends:
        spans.setdefault(each["slot"], []).append(
            (each["at"] - each["seconds"], each["at"])
        )
    training = sum(map(covered, spans.values()))
    slots = len(ready)
    imports = sum(ready)
    starts = (
        min(each["at"] for each in events if each["event"] == "trial.started") - began
    )
    last = {each["slot"]: each["at"] - began for each in ends}
    idle_end = sum(max(last.values()) - each for each in last.values())
    left = slots * wall - imports - training
    report = {
        "wall seconds": wall,
        "attempts": len(ends),
        "workers": slots,
        "in training, per worker": training / slots,
        "TensorFlow's import, per worker": imports / slots,
        "until the first trial begins": starts,
        "a worker idle while the last retest runs, per worker": idle_end / slots,
        "overhead, per worker": left / slots,
        "overhead, percent of wall": 100 * left / slots / wall,
        "overhead without that idle time, percent of wall": 100
        * (left - idle_end)
        / slots
        / wall,
    }
    for name, value in report.items():
        print(f"{name:<54} {value:8.2f}")


if __name__ == "__main__":
    main()
