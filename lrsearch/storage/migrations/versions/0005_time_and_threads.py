"""What each training took of its worker's time, and the threads that a study's CPU workers have."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "lrsearch_trials", sa.Column("worker_seconds", sa.Double(), nullable=True)
    )
    op.add_column("lrsearch_studies", sa.Column("threads", sa.Integer(), nullable=True))
    _take_over_threads(op.get_bind())


def _take_over_threads(connection: sa.Connection) -> None:
    """The threads of studies that measured their engines: these are part of a
    measurement's name, HOST/cpu/THREADS.
    """
    rows = connection.execute(
        sa.text("select study_id, machine from lrsearch_calibrations order by machine")
    ).all()
    found: dict[int, set[int]] = defaultdict(set)
    for study_id, machine in rows:
        _, kind, threads = ["", "", *machine.split("/")][-3:]
        if kind == "cpu" and threads.isdigit():
            found[study_id].add(int(threads))
    change = sa.text(
        "update lrsearch_studies set threads = :threads where id = :study_id"
    )
    for study_id, several in found.items():
        if len(several) == 1:  # of several, nobody knows which one a trial began with
            connection.execute(change, {"threads": several.pop(), "study_id": study_id})
