"""How long the report and the pages of a large study take, first and while it runs.

    python benchmarks/views.py [--sizes 1000,2000,10000]

Each size is a study of that many trials in a throw-away SQLite database: the default
space, 30 epochs a trial with a curve, 360 row scores a trial, every tenth trial
diverged. First one trial is still running, then the study is finished with retests.
Processes are the user's own commands.
"""

import argparse
import json
import math
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import numpy as np  # noqa: E402
from ledger_tools import add_worker, facts, outcome, plan  # noqa: E402

from lrsearch.dashboard.note_keeper import NoteWriter  # noqa: E402
from lrsearch.dashboard.study_views import StudyViews  # noqa: E402
from lrsearch.sampling import make_sampler  # noqa: E402
from lrsearch.space import SearchSpace  # noqa: E402
from lrsearch.storage import Claim, PlanRetests, open_ledger  # noqa: E402
from lrsearch.values import CurvePoint, Direction, RowScores, Status  # noqa: E402
from lrsearch.worker.retest_planning import plan_retests  # noqa: E402

SPACE = SearchSpace()
EPOCHS, ROWS = 30, 360
STUDY = "large"


def made(size):
    """The plan of a study of `size` trials."""
    known = facts(
        epochs=EPOCHS,
        steps_per_epoch={"None": 45},
        train_examples=1437,
        validation_examples=ROWS,
        metrics=("loss", "accuracy", "val_loss", "val_accuracy"),
    )
    dimensions = tuple(each.to_json() for each in SPACE.public_dimensions())
    return plan(
        name=STUDY, trials=size, retest_seeds=3, facts=known, dimensions=dimensions
    )


def curve(value):
    """Thirty epochs that end at `value`."""
    return [
        CurvePoint(
            epoch=each,
            step=45 * each,
            rate=1e-3,
            seconds=1.0,
            value=value - 0.3 / each,
            logs={"loss": 1.0 / each, "accuracy": value, "val_loss": 1.0 / each},
        )
        for each in range(1, EPOCHS + 1)
    ]


def settings():
    """Settings without end, as random sampling finds them."""
    proposer = make_sampler("random", SPACE, direction=Direction.MAXIMIZE, seed=0)
    while True:
        yield proposer.propose(random.randrange(10**9))


def begin(ledger, study, worker, source):
    """Claim a trial and bind it; None where none is left."""
    claimed = ledger.claim(study.id, worker, lease_seconds=10**6)
    if isinstance(claimed, PlanRetests):
        plan_retests(ledger, STUDY, claimed)
        claimed = ledger.claim(study.id, worker, lease_seconds=10**6)
    if not isinstance(claimed, Claim):
        return None
    chosen = claimed.trial.setting or next(source)
    params = SPACE.public_params(chosen)
    seed = claimed.trial.seed or claimed.trial.number
    assert ledger.bind(
        claimed.trial.id, claimed.attempt, setting=chosen, params=params, seed=seed
    )
    return claimed, chosen


def end(ledger, claimed, chosen):
    """Let a trial end: better near a rate of 0.01, with luck; or diverged."""
    random.seed(claimed.trial.id)
    if claimed.trial.is_search and claimed.trial.number % 10 == 9:
        ended = outcome(claimed, status=Status.DIVERGED, value=None, epochs=3)
        assert ledger.finish(ended, curve(0.1)[:3])
        return
    far = abs(math.log10(max(chosen.learning_rate, 1e-9) / 0.01))
    right = np.random.default_rng(claimed.trial.id).random(ROWS) < max(
        0.1, 0.95 - far / 10
    )
    scores = RowScores(
        split="validation", values=right.astype("float32"), digest="same", rows=ROWS
    )
    ended = outcome(claimed, value=float(right.mean()), epochs=EPOCHS)
    ended = replace(ended, row_scores=(scores,))
    assert ledger.finish(ended, curve(float(right.mean())))


def timed(call):
    """What a call gives, and its seconds."""
    began = time.perf_counter()
    given = call()
    return given, time.perf_counter() - began


def write_report(folder):
    """Seconds and megabytes of `lrsearch report`, as a process of its own."""
    file = folder / "report.html"
    command = [sys.executable, "-m", "lrsearch", "report", STUDY, "-o", str(file)]
    _, seconds = timed(
        lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)
    )
    return seconds, file.stat().st_size / 1e6


class Dashboard:
    """`lrsearch dashboard` in a process of its own."""

    def __init__(self, folder):
        command = [sys.executable, "-m", "lrsearch", "dashboard", "--port", "0"]
        self._process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, text=True
        )
        self._url = self._process.stdout.readline().split()[0].rstrip("/")

    def get(self, path):
        """An answer's text and its seconds."""
        return timed(lambda: urlopen(f"{self._url}{path}", timeout=120).read().decode())

    def megabytes(self):
        """The memory that the process has."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def close(self):
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)


def watch(dashboard, change):
    """(seconds until the page shows a change, the slowest answer meanwhile).

    Asks every three seconds whether anything changed, as the page does, and then for
    the page.
    """
    version = json.loads(dashboard.get("/studies/1/state")[0])["version"]
    change()
    began, slowest = time.perf_counter(), 0.0
    while True:
        answer, seconds = dashboard.get("/studies/1/state")
        slowest = max(slowest, seconds)
        if json.loads(answer)["version"] != version:
            slowest = max(slowest, dashboard.get("/studies/1")[1])
            return time.perf_counter() - began, slowest
        time.sleep(3)


def measure(size):
    """A study of this size, running and then finished: a line of numbers."""
    with tempfile.TemporaryDirectory(prefix="lrs-views-") as name:
        folder = Path(name)
        ledger = open_ledger(f"sqlite:///{folder}/lrsearch.db", create=True)
        study, source = ledger.create_study(made(size)), settings()
        worker = add_worker(ledger, study)
        for _ in range(size - 1):
            end(ledger, *begin(ledger, study, worker, source))
        last = begin(ledger, study, worker, source)
        running = pages(folder, lambda: end(ledger, *last))
        while (retest := begin(ledger, study, worker, source)) is not None:
            end(ledger, *retest)
        finished = pages(folder, None)
        _, notes = timed(NoteWriter(ledger, StudyViews(ledger)).look)
        ledger.close()
    print(
        json.dumps(
            {"trials": size, "running": running, "finished": finished, "notes": notes}
        )
    )


def pages(folder, change):
    """Seconds of the report and the pages of the study as it stands."""
    seconds, size = write_report(folder)
    dashboard = Dashboard(folder)
    try:
        told = {"report": seconds, "report_mb": size}
        told["studies"] = dashboard.get("/")[1]
        told["page"] = dashboard.get("/studies/1")[1]
        told["page_again"] = dashboard.get("/studies/1")[1]
        if change is not None:
            told["change"], told["slowest"] = watch(dashboard, change)
        told["memory_mb"] = dashboard.megabytes()
    finally:
        dashboard.close()
    return {key: round(value, 2) for key, value in told.items()}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,2000,10000")
    for size in parser.parse_args().sizes.split(","):
        measure(int(size))


if __name__ == "__main__":
    main()
