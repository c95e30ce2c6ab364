"""From records of finished studies to the table. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from racing.tasks import TASKS

Record = Mapping[str, Any]
OURS = "lrsearch"

HEAD = (
    "contender",
    "seeds",
    "test loss",
    "above the best",
    "less the first's",
    "full runs paid",
)
SECONDS = ("trials", "seconds", "CPU seconds")


def report(records: Sequence[Record]) -> str:
    """A table a task, as Markdown; medians of seconds, means of the rest."""
    tasks = dict.fromkeys(each["task"] for each in records)
    return "\n\n".join(
        _table(task, [each for each in records if each["task"] == task])
        for task in tasks
    )


def _table(task: str, records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(each["contender"] for each in records))
    by_seed = {
        name: {each["seed"]: each for each in records if each["contender"] == name}
        for name in sorted(names, key=lambda name: not name.startswith(OURS))
    }
    best = min(float(np.mean(each["losses"])) for each in records)
    first = next(iter(by_seed.values()))
    lines = [
        f"### {task}",
        "",
        _row([*HEAD, *SECONDS]),
        _row(["---"] * len(HEAD + SECONDS)),
    ]
    for name, found in by_seed.items():
        lines.append(_row([name, *_cells(found, first, best, TASKS[task].epochs)]))
    return "\n".join(lines)


def _cells(
    found: Mapping[int, Record], first: Mapping[int, Record], best: float, epochs: int
) -> list[str]:
    """`best` is the lowest mean test loss of any pick of the task."""
    losses = {seed: float(np.mean(each["losses"])) for seed, each in found.items()}
    mean = float(np.mean(list(losses.values())))
    apart = [
        losses[seed] - float(np.mean(first[seed]["losses"]))
        for seed in losses
        if seed in first
    ]
    own = found is first
    return [
        str(len(found)),
        f"{mean:.4f}{_error(list(losses.values()))}",
        f"{mean / best - 1:.1%}",
        "-" if own or not apart else f"{np.mean(apart):+.4f}{_error(apart)}",
        f"{np.mean([each['epochs'] for each in found.values()]) / epochs:.1f}",
        f"{np.mean([each['trials'] for each in found.values()]):.0f}",
        *(
            f"{np.median([each[name] for each in found.values()]):.0f}"
            for name in ("seconds", "cpu")
        ),
    ]


def _error(values: Sequence[float]) -> str:
    """The standard error of their mean; nothing of a single value."""
    count = len(values)
    return f" ±{np.std(values, ddof=1) / np.sqrt(count):.4f}" if count > 1 else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
