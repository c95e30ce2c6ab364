"""How soon `lrsearch attach` trains its first trial, by the number of trials that the study has.

    python benchmarks/attach.py [--sizes 10,1000,10000]

A real study (studies/digits.py) on SQLite, its trials written by the ledger without
training; one worker attaches, is timed until its first trial begins, and leaves. The
import of libraries, TensorFlow's above all, is told apart: no study changes it.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ledger import ROOT, add_worker, grow, settings

from lrsearch.storage import open_ledger


def lrsearch(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "lrsearch", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )


def first_trial(folder):
    """Seconds from the command to a worker that is ready, and to its first trial."""
    log = Path(folder, "log")
    log.unlink(missing_ok=True)
    began = time.time()
    process = lrsearch(
        folder, "attach", "digits", "--workers", "1", "--log-file", "log", "--quiet"
    )
    while "trial.started" not in (log.read_text() if log.exists() else ""):
        assert process.poll() is None, "it left"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(15)
    at = {}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        at.setdefault(event["event"], event["at"] - began)
    return at["ready"], at["trial.started"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="10,1000,10000")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--trials", "100000", "--retest", "0", "--create-only", "--quiet"]
        assert (
            lrsearch(
                folder, "start-study", str(ROOT / "studies" / "digits.py"), *options
            ).wait()
            == 0
        )
        ledger = open_ledger(f"sqlite:///{folder}/lrsearch.db")
        study, source = ledger.study("digits"), settings()
        for size in map(int, given.sizes.split(",")):
            host = first_trial(folder) and ledger.workers(study.id)[0].host
            grow(ledger, study, add_worker(ledger, study, host=host), source, size)
            ready, begun = first_trial(folder)
            print(
                f"{size:>6} trials: first trial after {begun:.1f} s, {ready:.1f} s of it importing libraries",
                flush=True,
            )
        ledger.close()


if __name__ == "__main__":
    main()
