"""The workers of a study: as data for programs, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.report.layout import Column, table
from lrsearch.report.words import duration_text
from lrsearch.values import Json, WorkerRecord


def worker_rows(workers: Sequence[WorkerRecord], *, now: float) -> list[dict[str, Json]]:
    """One dict a worker."""
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


def workers_table(rows: Sequence[dict[str, Json]], *, width: int | None = None) -> str:
    if not rows:
        return "no workers yet."
    columns = [
        Column(head="worker", cells=[str(row["worker"]) for row in rows], right=True),
        Column(head="host", cells=[row["host"] for row in rows], rank=2, least=8),
        Column(head="pid", cells=[str(row["pid"]) for row in rows], right=True, rank=3),
        Column(head="slot", cells=[row["slot"] for row in rows]),
        Column(head="state", cells=[row["state"] for row in rows]),
        Column(
            head="last seen",
            cells=[f"{duration_text(row['seen_seconds_ago'])} ago" for row in rows],
            rank=1,
        ),
    ]
    return "\n".join(table(columns, width))
