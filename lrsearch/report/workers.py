"""The workers of a study: as data for programs, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.report.layout import Column, table
from lrsearch.report.words import duration_text
from lrsearch.values import Json, WorkerRecord


def worker_rows(
    workers: Sequence[WorkerRecord], *, now: float
) -> list[dict[str, Json]]:
    """One dict for each worker."""
    return [
        {
            "worker": each.id,
            "host": each.host,
            "pid": each.pid,
            "slot": each.slot,
            "state": each.state if each.is_there(now) else "gone",
            "seen_seconds_ago": round(max(0.0, now - each.last_seen), 1),
            "versions": dict(each.versions),
        }
        for each in workers
    ]


def workers_table(rows: Sequence[dict[str, Json]], *, width: int | None) -> str:
    if not rows:
        return "no workers yet."
    columns = [
        Column("worker", [str(row["worker"]) for row in rows], right=True),
        Column("host", [row["host"] for row in rows], rank=2, least=8),
        Column("pid", [str(row["pid"]) for row in rows], right=True, rank=3),
        Column("slot", [row["slot"] for row in rows]),
        Column("state", [row["state"] for row in rows]),
        Column(
            "last seen",
            [f"{duration_text(row['seen_seconds_ago'])} ago" for row in rows],
            rank=1,
        ),
    ]
    return "\n".join(table(columns, width))
