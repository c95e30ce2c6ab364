"""Row scores: what each row of a split contributes to a training's objective."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE = "lrsearch_row_scores"


def upgrade() -> None:
    # MariaDB commits each of the two by itself: a crash in between must not bar the
    # next try.
    if not sa.inspect(op.get_bind()).has_table(TABLE):
        op.create_table(
            TABLE,
            sa.Column("trial_id", ID, nullable=False),
            sa.Column("split", sa.String(length=16), nullable=False),
            sa.Column("study_id", ID, nullable=False),
            sa.Column("attempt", sa.Integer(), nullable=False),
            sa.Column("digest", sa.String(length=32), nullable=False),
            sa.Column("total", sa.BigInteger(), nullable=False),
            sa.Column("kept", sa.Integer(), nullable=False),
            sa.Column("scores", sa.LargeBinary(), nullable=False),
            sa.ForeignKeyConstraint(
                ["trial_id"], ["lrsearch_trials.id"], ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint("trial_id", "split"),
        )
    if not sa.inspect(op.get_bind()).get_indexes(TABLE):
        op.create_index("lrsearch_row_scores_study", TABLE, ["study_id"])
