"""A study's limit of trainings, and what interruptions repeated: epochs of each trial,
and the time of attempts that counts.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("lrsearch_studies", "trainings", sa.Integer()),
    ("lrsearch_trials", "repeated_epochs", sa.Integer()),
    ("lrsearch_attempts", "kept_until", sa.Double()),
)


def upgrade() -> None:
    there = sa.inspect(op.get_bind())
    # MariaDB commits each by itself: a crash in between must not bar the next try
    for table, name, kind in COLUMNS:
        if name not in {each["name"] for each in there.get_columns(table)}:
            op.add_column(table, sa.Column(name, kind, nullable=True))
