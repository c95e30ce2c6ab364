"""The table of training until a pick is near the best known, as Markdown. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from racing.targets import (
    MEDIANS,
    Answer,
    Reached,
    Record,
    censored_median,
    courses,
    judged,
    name_of,
    noise,
    reached,
)

OURS = "lrsearch"
SHARES = (0.10, 0.05, 0.02)  # of median less best
HEAD = ("contender", "seeds", *(f"within {share:.0%}" for share in SHARES))
SECONDS = ("ratio to the best peer", "seconds", "of them training", "CPU seconds")


def report(records: Sequence[Record], *, limit: int) -> str:
    """A table a task; `limit`: the full runs at which peers were censored."""
    tasks = dict.fromkeys(each["task"] for each in records)
    tables = (_table(task, records, limit) for task in tasks)
    return "\n\n".join(each for each in tables if each)


def _table(task: str, records: Iterable[Record], limit: int) -> str:
    records = list(records)
    losses = judged(records, task)
    if not losses:
        return ""
    means = {name: float(np.mean(list(each.values()))) for name, each in losses.items()}
    best = min(means.values())
    scale = MEDIANS[task] - best
    near = [name for name in means if means[name] <= best + SHARES[0] * scale]
    error = noise([list(losses[name].values()) for name in near]) / scale
    by_name: dict[str, list[Sequence[Answer]]] = {}
    for (name, _), answers in courses(records, task).items():
        by_name.setdefault(name, []).append(answers)
    found = {
        name: {
            share: _all_reached(each, means, best + share * scale) for share in SHARES
        }
        for name, each in by_name.items()
    }
    head = (
        f"### {task}: best {best:.4f} of {len(means)} picks, {len(near)} within 10 %; "
        f"a judged pick's standard deviation is {error:.1%} of median less best"
    )
    lines = [
        head,
        "",
        _row([*HEAD, *SECONDS]),
        _row(["---"] * len(HEAD + SECONDS)),
    ]
    for name in sorted(found, key=lambda name: not name.startswith(OURS)):
        cells = [_runs(found[name][share], limit) for share in SHARES]
        cells += [_ratios(found, name, limit), *_seconds(found[name][SHARES[0]])]
        lines.append(_row([name, str(len(by_name[name])), *cells]))
    return "\n".join(lines)


def _all_reached(
    seeds: Sequence[Sequence[Answer]], means: Mapping[str, float], limit: float
) -> list[Reached]:
    """A pick that was not judged is far."""

    def near(answer: Answer) -> bool:
        return means.get(name_of(answer.pick), np.inf) <= limit

    return [reached(answers, near) for answers in seeds]


def _runs(found: Sequence[Reached], limit: int) -> str:
    """Median of full runs until near and kept so; how many; the first time where it differs."""
    kept = [each.kept.runs if each.kept else None for each in found]
    first = [each.first.runs if each.first else None for each in found]
    count = sum(each is not None for each in kept)
    text = f"{_number(censored_median(kept), limit)} ({count} of {len(kept)})"
    if first == kept:
        return text
    return f"{text}; first {_number(censored_median(first), limit)}"


def _number(runs: float | None, limit: int) -> str:
    return f"> {limit}" if runs is None else f"{runs:.3g}"


def _ratios(
    found: Mapping[str, Mapping[float, Sequence[Reached]]], name: str, limit: int
) -> str:
    """This contender's median over the least median of a peer, for each share."""
    peers = [each for each in found if not each.startswith((OURS, "yours"))]
    if name in peers or not peers or name == "yours":
        return ""
    cells = []
    for share in SHARES:
        own = _median_runs(found[name][share])
        theirs = [_median_runs(found[peer][share]) for peer in peers]
        least = min((each for each in theirs if each is not None), default=None)
        cells.append(_ratio(own, least, limit))
    return ", ".join(cells)


def _ratio(own: float | None, least: float | None, limit: int) -> str:
    if own is None and least is None:
        return "neither"
    if own is None:
        return f"> {limit / (least or limit):.2f}"
    return f"< {own / limit:.2f}" if least is None else f"{own / least:.2f}"


def _median_runs(found: Sequence[Reached]) -> float | None:
    return censored_median([each.kept.runs if each.kept else None for each in found])


def _seconds(found: Sequence[Reached]) -> list[str]:
    """Medians until within the widest share: whole process, training, CPU of the process."""
    cells = []
    for name in ("seconds", "training_seconds", "cpu"):
        values = [getattr(each.kept, name) if each.kept else None for each in found]
        median = censored_median(values)
        cells.append("-" if median is None else f"{median:.0f}")
    return cells


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
