"""The studies of a database: as data for programs, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.report.layout import Column, table
from lrsearch.storage import Counts
from lrsearch.values import Json, StudyRecord


def study_rows(studies: Sequence[tuple[StudyRecord, Counts]]) -> list[dict[str, Json]]:
    """One dict for each study."""
    return [
        {
            "study": study.name,
            "state": study.state.value,
            "objective": study.facts.objective,
            "direction": study.direction.value,
            "budget": study.trials,
            "done": counts.done,
            "running": counts.running,
            "created_at": study.created_at,
            "study_file": study.plan.study_file,
        }
        for study, counts in studies
    ]


def studies_table(rows: Sequence[dict[str, Json]], *, width: int | None) -> str:
    if not rows:
        return "no studies yet. Start one: lrsearch start-study FILE"
    columns = [
        Column("study", [row["study"] for row in rows], least=12),
        Column("state", [row["state"] for row in rows]),
        Column("objective", [row["objective"] for row in rows], rank=1, least=8),
        Column("done", [f"{row['done']}/{row['budget'] or '-'}" for row in rows]),
        Column("running", [str(row["running"]) for row in rows], rank=2),
        Column(
            "file",
            [row["study_file"] or "(notebook)" for row in rows],
            rank=3,
            least=12,
        ),
    ]
    return "\n".join(table(columns, width))
