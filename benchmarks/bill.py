"""Compares what studies were said to take with what they took.

    python benchmarks/bill.py [digits regression datasets autoencoder characters]

For each: `lrsearch plan`, then `lrsearch start-study`, right after each other, with
what was said before the first training ("first bill"; by `fit` in its first epochs) and
once trainings had shown their pace. "plan" and "command" are whole; "plan training",
the bills and "training" count from the first training's beginning to the last one's
end. All are seconds. A command that fails is told of, and the next study comes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUDIES = {
    "digits": (ROOT / "studies/digits.py", "--trials", "40"),
    "regression": (ROOT / "benchmarks/billed/regression.py", "--engine", "fit", "--trials", "12"),
    "datasets": (ROOT / "benchmarks/billed/datasets.py", "--trials", "16"),
    # The model of the bill was made with the three above; these two check it.
    "autoencoder": (ROOT / "studies/autoencoder.py", "--trials", "8"),
    "widths": (
        ROOT / "benchmarks/billed/widths.py", "--trials", "20", "--optimizers", "adam,sgd,lion",
    ),
}  # fmt: skip
COLUMNS = (
    "study", "plan", "command", "plan training", "first bill", "second bill", "at", "training", "load",
)  # fmt: skip


def lrsearch(folder: Path, *arguments: object) -> str:
    command = [sys.executable, "-m", "lrsearch", *map(str, arguments), "--json"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} left with {done.returncode}: {done.stderr[-2000:]}"
        )
    return done.stdout


def measured(name: str) -> list[str]:
    """A row of the table: seconds."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        plan = json.loads(lrsearch(folder, "plan", *STUDIES[name]))
        began = time.monotonic()
        lrsearch(folder, "start-study", *STUDIES[name], "--log-file", "log.jsonl")
        command = time.monotonic() - began
        events = [
            json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()
        ]
    first, second, at, training = _said(events)
    numbers = (
        plan["seconds"],
        command,
        plan["seconds_of_training"],
        first,
        second,
        at,
        training,
    )
    return [
        name,
        *("-" if each is None else f"{each:.1f}" for each in numbers),
        f"{load:.1f}",
    ]


def _said(events: list[dict]) -> tuple[float | None, float | None, float | None, float]:
    """What a listener would have printed, replayed: in all, from the first training's beginning on."""
    from lrsearch.events import Event
    from lrsearch.messages import Message
    from lrsearch.progress.state import ProgressState

    state, first, second, at = ProgressState(), None, None, None
    ends = [each["at"] for each in events if each["event"] == "trial.ended"]
    began = next(each["at"] for each in events if each["event"] == "trial.started")
    for each in events:
        message = {
            name: fact for name, fact in each.items() if name not in {"at", "slot"}
        }
        state.handle(
            Event(
                message=Message.from_json(message),
                slot=each.get("slot", ""),
                at=each["at"],
            )
        )
        if each["event"] == "bill" and each["forecast"] is not None:
            first = max(0.0, each["at"] - began) + (
                state.bill(each["at"]).seconds or 0.0
            )
        if (
            each["event"] == "trial.ended"
            and second is None
            and (state.shows_pace or state.forecast is None)
        ):
            at = each["at"] - began
            left = state.bill(each["at"]).seconds
            second = None if left is None else at + left
    return first, second, at, ends[-1] - began


def main() -> int:
    # it outlives the terminal that it was started from, and says why it ends where it
    # does
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    print("  ".join(COLUMNS), flush=True)
    failed = 0
    for name in sys.argv[1:] or STUDIES:
        try:
            print("  ".join(measured(name)), flush=True)
        except Exception as error:  # noqa: BLE001 - told, and the next study comes
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
