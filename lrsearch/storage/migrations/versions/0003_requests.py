"""Requests that were served, so that one whose answer was lost is not served twice;
changes that a study accepted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    # MariaDB commits each of the two by itself: a crash in between must not bar the
    # next try.
    there = sa.inspect(op.get_bind())
    if not there.has_table("lrsearch_requests"):
        _make_requests()
    if "changes" not in {
        each["name"] for each in there.get_columns("lrsearch_studies")
    }:
        op.add_column(
            "lrsearch_studies", sa.Column("changes", LONG_TEXT, nullable=True)
        )


def _make_requests() -> None:
    op.create_table(
        "lrsearch_requests",
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("answer", LONG_TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["lrsearch_studies.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token"),
    )
