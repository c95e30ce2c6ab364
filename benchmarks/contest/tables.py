"""From runs to figures: medians over rounds, a further trial's cost, shares of what the
machine can do. Pure functions.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Run = Mapping[str, Any]
Figures = dict[str, Any]


def figures(
    runs: Sequence[Run],
    contender: str,
    lengths: tuple[int, int],
    flops: float,
    rates: Mapping[str, float],
) -> Figures:
    """One contender's medians over the rounds in which both lengths were trained to their end.

    Seconds; shares are fractions.
    """
    low, high = lengths
    pairs = [
        pair
        for pair in by_round(runs, contender, lengths).values()
        if not any(each["problems"] for each in pair)
    ]
    failed = sum(
        bool(each["problems"])
        for each in runs
        if each["contender"] == contender and each["count"] in lengths
    )
    if not pairs:
        return {"contender": contender, "rounds": 0, "failed runs": failed}
    clock = "span" if contender.startswith("loop ") else "seconds"
    further = [(long[clock] - short[clock]) / (high - low) for short, long in pairs]
    cost = statistics.median(further)
    found = {
        "contender": contender,
        "rounds": len(pairs),
        "failed runs": failed,
        "trials": high,
        "trial-epochs": statistics.median(long["epochs"] for _, long in pairs),
        "mean value": statistics.median(
            statistics.mean(long["values"]) for _, long in pairs
        ),
        "whole": statistics.median(long[clock] for _, long in pairs),
        "start-up": statistics.median(
            short[clock] - low * each
            for (short, _), each in zip(pairs, further, strict=True)
        ),
        "further": cost,
        "further, each round": further,
    }
    if clock == "seconds" and pairs[0][1]["span"] is not None:
        found["first start to last end"] = statistics.median(
            long["span"] for _, long in pairs
        )
    return found | {
        f"share of {name}": flops / cost / rate if cost > 0 else math.nan
        for name, rate in rates.items()
    }


def by_round(
    runs: Sequence[Run], contender: str, lengths: tuple[int, int]
) -> dict[int, tuple[Run, Run]]:
    """The short and the long run of each round that has both."""
    mine = {
        (each["round"], each["count"]): each
        for each in runs
        if each["contender"] == contender
    }
    rounds = sorted({place for place, _ in mine})
    low, high = lengths
    return {
        each: (mine[each, low], mine[each, high])
        for each in rounds
        if (each, low) in mine and (each, high) in mine
    }


def measured_rates(runs: Sequence[Run]) -> tuple[float, dict[str, float]]:
    """A trial's FLOPs, and the medians of the matmul peak and of the batched rate at
    its best width, FLOP/s.
    """
    found = [
        each["facts"]
        for each in runs
        if each["contender"] == "rates" and not each["problems"]
    ]
    if not found:
        return 0.0, {}
    widths = {
        width: statistics.median(each["batched"][width] for each in found)
        for width in found[0]["batched"]
    }
    return found[0]["flops"], {
        "peak": statistics.median(each["peak"] for each in found),
        "batched": max(widths.values()),
    }


def against_peers(rows: Sequence[Figures]) -> list[Figures]:
    """Each row with its whole time and a further trial's cost over the fastest peer's."""
    peers = [
        each
        for each in rows
        if each["contender"].startswith("peer ") and each["rounds"]
    ]
    if not peers:
        return list(rows)
    best = {
        name: min((each[name] for each in peers if each[name] > 0), default=math.nan)
        for name in ("whole", "further")
    }
    return [
        row
        | {
            f"{name} of peers'": row[name] / best[name]
            for name in best
            if row["rounds"]
        }
        for row in rows
    ]


def around_the_loop(rows: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """By engine: what a study takes over what its training loop alone takes."""
    named = {each["contender"]: each for each in rows if each["rounds"]}
    found = {}
    for name, row in named.items():
        loop = named.get(name.replace("lrsearch ", "loop "))
        if name.startswith("lrsearch ") and loop:
            ends = row["first start to last end"] / loop["whole"]
            found[name] = {
                "further": row["further"] / loop["further"],
                "first start to last end": ends,
            }
    return found


COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("contender", "contender", str),
    ("rounds", "rounds", str),
    ("trial-epochs", "epochs", "{:.0f}".format),
    ("mean value", "mean value", "{:.4f}".format),
    ("whole", "whole s", "{:.1f}".format),
    ("start-up", "start-up s", "{:.1f}".format),
    ("further", "further trial s", "{:.3f}".format),
    ("whole of peers'", "whole/peer", "{:.3f}".format),
    ("further of peers'", "further/peer", "{:.3f}".format),
    ("share of peak", "of peak", "{:.1%}".format),
    ("share of batched", "of batched", "{:.1%}".format),
    ("failed runs", "failed runs", str),
)


def table(rows: Sequence[Figures]) -> str:
    """The rows as aligned text; what a row does not have is a dash."""
    cells = [[title for _, title, _ in COLUMNS]]
    cells += [
        [write(row[key]) if key in row else "-" for key, _, write in COLUMNS]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(line, widths) for line in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) for cell, width in zip(cells, widths, strict=True)
    )
    return "  ".join([first.strip().ljust(widths[0]), *others])
