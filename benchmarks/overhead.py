"""How much of a study's wall time is neither training nor TensorFlow's import.

    python benchmarks/overhead.py [STUDY_FILE] [--trials 40]

Runs `lrsearch start-study` in a new folder with its log file on, and adds up from the log: the workers' time inside `fit` (each
attempt's own seconds) and their import of TensorFlow (until the first worker is ready). What is left of workers x wall time is
overhead: inspection, claims, sampling, curves, mirrors, waiting for the last retests, the answer.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study_file", nargs="?", default=str(ROOT / "studies" / "digits.py"))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--trials", str(given.trials), "--workers", str(given.workers), "--log-file", "log", "-q"]
        options += ["--engine", given.engine]
        command = [sys.executable, "-m", "lrsearch", "start-study", given.study_file, *options]
        began = time.time()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.time() - began
        events = [json.loads(line) for line in Path(folder, "log").read_text().splitlines()]
    ready = [each["at"] - began for each in events if each["event"] == "ready"]
    ends = [each for each in events if each["event"] == "trial.ended"]
    fit = sum(each["seconds"] for each in ends)
    slots = len(ready)
    imports = sum(ready)
    starts = min(each["at"] for each in events if each["event"] == "trial.started") - began
    last = {each["slot"]: each["at"] - began for each in ends}
    idle_end = sum(max(last.values()) - each for each in last.values())
    left = slots * wall - imports - fit
    report = {
        "wall seconds": wall,
        "attempts": len(ends),
        "workers": slots,
        "inside fit, per worker": fit / slots,
        "TensorFlow's import, per worker": imports / slots,
        "until the first trial begins": starts,
        "a worker idle while the last retest runs, per worker": idle_end / slots,
        "overhead, per worker": left / slots,
        "overhead, percent of wall": 100 * left / slots / wall,
        "overhead without that idle time, percent of wall": 100 * (left - idle_end) / slots / wall,
    }
    for name, value in report.items():
        print(f"{name:<54} {value:8.2f}")


if __name__ == "__main__":
    main()
