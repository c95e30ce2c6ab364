"""The learning rates that a training's first, peak and last update were made with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE, COLUMN = "lrsearch_trials", "rates"


def upgrade() -> None:
    there = {each["name"] for each in sa.inspect(op.get_bind()).get_columns(TABLE)}
    if COLUMN not in there:
        text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
        op.add_column(TABLE, sa.Column(COLUMN, text, nullable=True))
