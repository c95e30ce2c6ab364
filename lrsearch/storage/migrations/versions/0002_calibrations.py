"""Figures of the engines, by study and machine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "lrsearch_calibrations",
        sa.Column("study_id", ID, nullable=False),
        sa.Column("machine", sa.String(length=255), nullable=False),
        sa.Column("figures", LONG_TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["lrsearch_studies.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "machine"),
    )
