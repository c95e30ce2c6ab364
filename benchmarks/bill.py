"""Compares what three studies were said to take with what they took: python benchmarks/bill.py
[digits regression datasets]

For each: `lrsearch plan`, then `lrsearch start-study`, with what was said before the first training
and once trainings had shown their pace. Times are those of training, from the first one's beginning
to the last one's end; the plan's and the command's are whole.
"""

from __future__ import annotations

import json
import os
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
}
COLUMNS = ("study", "plan", "command", "first bill", "second bill", "at", "training", "load")


def lrsearch(folder: Path, *arguments: object) -> str:
    command = [sys.executable, "-m", "lrsearch", *map(str, arguments), "--json"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
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
        events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    first, second, at, training = _said(events)
    numbers = (plan["seconds"], command, first, second, at, training)
    return [name, *("-" if each is None else f"{each:.1f}" for each in numbers), f"{load:.1f}"]


def _said(events: list[dict]) -> tuple[float | None, float | None, float | None, float]:
    """What a listener would have printed, replayed: in all, from the first training's beginning on."""
    from lrsearch.launch.picture import ProgressState
    from lrsearch.messages import Event, Message

    state, first, second, at = ProgressState(), None, None, None
    ends = [each["at"] for each in events if each["event"] == "trial.ended"]
    began = next(each["at"] for each in events if each["event"] == "trial.started")
    for each in events:
        message = {name: fact for name, fact in each.items() if name not in {"at", "slot"}}
        state.take(
            Event(message=Message.from_json(message), slot=each.get("slot", ""), at=each["at"])
        )
        if each["event"] == "bill":
            first = state.bill(each["at"]).seconds
        if (
            each["event"] == "trial.ended"
            and second is None
            and (state.shows_pace or state.forecast is None)
        ):
            at = each["at"] - began
            left = state.bill(each["at"]).seconds
            second = None if left is None else at + left
    return first, second, at, ends[-1] - began


def main() -> None:
    print("  ".join(COLUMNS))
    for name in sys.argv[1:] or STUDIES:
        print("  ".join(measured(name)), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
