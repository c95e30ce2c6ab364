"""The ledger's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen as they were: a migration must not change when the tables of today do.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "lrsearch_studies",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("plan", LONG_TEXT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", LONG_TEXT, nullable=False),
        sa.Column("trials", sa.Integer(), nullable=True),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("optuna_study_id", sa.Integer(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("searched", sa.Integer(), nullable=False),
        sa.Column("retests_for", sa.Integer(), nullable=False),
        sa.Column("mirror_owner", sa.String(length=64), nullable=True),
        sa.Column("mirror_until", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "lrsearch_trials",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("setting", LONG_TEXT, nullable=True),
        sa.Column("params", LONG_TEXT, nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("repeat_no", sa.Integer(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("last_value", sa.Double(), nullable=True),
        sa.Column("best_value", sa.Double(), nullable=True),
        sa.Column("best_epoch", sa.Integer(), nullable=True),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(length=32), nullable=False),
        sa.Column("reason", LONG_TEXT, nullable=False),
        sa.Column("traceback", LONG_TEXT, nullable=False),
        sa.Column("notes", LONG_TEXT, nullable=False),
        sa.Column("logs", LONG_TEXT, nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("optuna_trial_id", sa.Integer(), nullable=True),
        sa.Column("mirrored", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["lrsearch_studies.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "study_id", "kind", "number", name="lrsearch_trials_number"
        ),
        sa.UniqueConstraint(
            "study_id", "kind", "parent", "repeat_no", name="lrsearch_trials_repeat"
        ),
    )
    op.create_index(
        "lrsearch_trials_mirrored",
        "lrsearch_trials",
        ["study_id", "kind", "mirrored", "number"],
        unique=False,
    )
    op.create_index(
        "lrsearch_trials_revision",
        "lrsearch_trials",
        ["study_id", "revision"],
        unique=False,
    )
    op.create_index(
        "lrsearch_trials_state",
        "lrsearch_trials",
        ["study_id", "state", "kind", "number"],
        unique=False,
    )
    op.create_table(
        "lrsearch_workers",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.String(length=64), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["lrsearch_studies.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "lrsearch_workers_study", "lrsearch_workers", ["study_id"], unique=False
    )
    op.create_table(
        "lrsearch_attempts",
        sa.Column("trial_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", LONG_TEXT, nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["lrsearch_trials.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "attempt"),
    )
    op.create_table(
        "lrsearch_checkpoints",
        sa.Column("trial_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", LONG_TEXT, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["lrsearch_trials.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "attempt", "epoch"),
    )
    op.create_table(
        "lrsearch_curves",
        sa.Column("trial_id", ID, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("logs", LONG_TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["lrsearch_trials.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "epoch"),
    )
    op.create_index(
        "lrsearch_curves_rung",
        "lrsearch_curves",
        ["study_id", "kind", "epoch", "value"],
        unique=False,
    )
