"""The table of training until a pick is near the best known, as Markdown. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from racing.targets import (
    MEDIANS,
    Answer,
    Reached,
    Record,
    Standings,
    answer_at,
    censored_median,
    courses,
    judged,
    name_of,
    reached,
    standings,
)

Found = Mapping[str, Sequence[Sequence[Answer]]]  # courses by contender
Regrets = Mapping[str, float]  # by pick: (loss - best) / (median - best)
OURS, YOURS = "lrsearch", "yours"
SHARES = (0.10, 0.05, 0.02)  # of median less best
HEAD = ("contender", "seeds", *(f"within {share:.0%}" for share in SHARES))
MOMENTS = (1, 2, 4, 8, 12, 24, 36)  # full runs
SECONDS = ("ratio to the best peer", "seconds", "of them training", "CPU seconds")


def report(records: Sequence[Record], limits: Mapping[str, int], split: str) -> str:
    """A table a task, by the losses on `split`.

    limits: by contender, the full runs at which it is censored.
    """
    tasks = dict.fromkeys(each["task"] for each in records)
    tables = []
    for task in tasks:
        if losses := judged(records, task, split):
            found = standings(losses, MEDIANS[task])
            tables.append(_table(task, split, courses(records, task), found, limits))
    return "\n\n".join(tables)


def _table(
    task: str,
    split: str,
    paths: Mapping[tuple[str, int], Sequence[Answer]],
    judgement: Standings,
    limits: Mapping[str, int],
) -> str:
    found: dict[str, list[Sequence[Answer]]] = {}
    for (name, _), answers in paths.items():
        if name in limits and name != YOURS:
            paid = [each for each in answers if each.runs <= limits[name]]
            found.setdefault(name, []).append(paid)
    regrets = judgement.regrets
    near = sum(each <= SHARES[0] for each in regrets.values())
    own = regrets.get(name_of(None))  # not judged where it is far
    yours = "far" if own is None else f"{own:.0%} above the best"
    head = (
        f"### {task}, {split} loss: best {judgement.best:.4f} of {len(regrets)} picks, "
        f"{near} within 10 %; a judged pick's standard deviation is "
        f"{judgement.noise:.1%} of median less best; {YOURS} is {yours}"
    )
    return "\n".join(
        [head, "", *_until(found, regrets, limits), "", *_after(found, regrets, limits)]
    )


def _until(found: Found, regrets: Regrets, limits: Mapping[str, int]) -> list[str]:
    """Full runs until within each share, and seconds until within the widest."""
    near = {
        name: {share: _all_reached(seeds, regrets, share) for share in SHARES}
        for name, seeds in found.items()
    }
    lines = [_row([*HEAD, *SECONDS]), _row(["---"] * len(HEAD + SECONDS))]
    for name in sorted(near, key=lambda name: not name.startswith(OURS)):
        cells = [_runs(near[name][share], limits[name]) for share in SHARES]
        cells += [_ratios(near, name, limits), *_seconds(near[name][SHARES[0]])]
        lines.append(_row([name, str(len(found[name])), *cells]))
    return lines


def _after(found: Found, regrets: Regrets, limits: Mapping[str, int]) -> list[str]:
    """How far above the best the pick is after some full runs, as far as each was paid."""
    moments = [each for each in MOMENTS if each <= max(limits.values())]
    lines = [_row(["above the best after", *map(str, moments)])]
    lines.append(_row(["---"] * (len(moments) + 1)))
    for name, seeds in found.items():
        cells = [
            _above(seeds, runs, regrets) if runs <= limits[name] else ""
            for runs in moments
        ]
        lines.append(_row([name, *cells]))
    return lines


def _above(seeds: Sequence[Sequence[Answer]], runs: int, regrets: Regrets) -> str:
    """The median over seeds; picks that were not judged are far."""
    known = [answer_at(answers, runs) for answers in seeds]
    median = censored_median(
        [regrets.get(name_of(each.pick)) if each else None for each in known]
    )
    return "far" if median is None else f"{median:.0%}"


def _all_reached(
    seeds: Sequence[Sequence[Answer]], regrets: Regrets, share: float
) -> list[Reached]:
    """A pick that was not judged is far."""

    def near(answer: Answer) -> bool:
        return regrets.get(name_of(answer.pick), np.inf) <= share

    return [reached(answers, near) for answers in seeds]


def _runs(found: Sequence[Reached], limit: int) -> str:
    """Median of full runs until near and kept so; how many; the first time where it differs."""
    kept = [each.kept.runs if each.kept else None for each in found]
    first = [each.first.runs if each.first else None for each in found]
    count = sum(each is not None for each in kept)
    numbers = [_number(censored_median(each), limit) for each in (kept, first)]
    text = f"{numbers[0]} ({count} of {len(kept)})"
    return text if numbers[0] == numbers[1] else f"{text}; first {numbers[1]}"


def _number(runs: float | None, limit: int) -> str:
    return f"> {limit}" if runs is None else f"{runs:.3g}"


def _ratios(
    found: Mapping[str, Mapping[float, Sequence[Reached]]],
    name: str,
    limits: Mapping[str, int],
) -> str:
    """This contender's median over the least median of a peer, for each share."""
    peers = [each for each in found if not each.startswith(OURS)]
    if not name.startswith(OURS) or not peers:
        return ""
    cells = []
    for share in SHARES:
        theirs = {peer: _median_runs(found[peer][share]) for peer in peers}
        least = min(
            (each for each in theirs.values() if each is not None), default=None
        )
        limit = min(limits[peer] for peer in peers)
        cells.append(
            _ratio(_median_runs(found[name][share]), limits[name], least, limit)
        )
    return ", ".join(cells)


def _ratio(own: float | None, own_limit: int, least: float | None, limit: int) -> str:
    if own is None:
        return "neither" if least is None else f"> {own_limit / least:.2f}"
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
