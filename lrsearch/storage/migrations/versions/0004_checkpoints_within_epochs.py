"""A checkpoint may stand within an epoch: its batch, in the manifest and in its key.

What is there stands at epochs' ends.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
TABLE, NEW = "lrsearch_checkpoints", "lrsearch_checkpoints_new"
OLD_COLUMNS = "trial_id, attempt, epoch, path, sha256, size, written_at"
_BATCH = f"alter table {TABLE} add column batch integer not null default 0"
_KEY = "add primary key (trial_id, attempt, epoch, batch)"
# One statement each: MariaDB commits every one by itself, and a crash must leave the
# table as it was or as it is to be.
_ALTER = {
    "postgresql": f"{_BATCH}, drop constraint {TABLE}_pkey, {_KEY}",
    "mysql": f"{_BATCH}, drop primary key, {_KEY}",
    "mariadb": f"{_BATCH}, drop primary key, {_KEY}",
}


def upgrade() -> None:
    connection = op.get_bind()
    if "batch" in {each["name"] for each in sa.inspect(connection).get_columns(TABLE)}:
        return  # MariaDB, after a crash between the change and the note of the version
    if connection.dialect.name in _ALTER:
        op.execute(_ALTER[connection.dialect.name])
    else:
        _make_anew()


def _make_anew() -> None:
    """SQLite changes no key; its transaction covers all of this."""
    op.create_table(
        NEW,
        sa.Column("trial_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", LONG_TEXT, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["lrsearch_trials.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "attempt", "epoch", "batch"),
    )
    op.execute(
        f"insert into {NEW} ({OLD_COLUMNS}, batch) select {OLD_COLUMNS}, 0 from {TABLE}"  # noqa: S608 - constants
    )
    op.drop_table(TABLE)
    op.rename_table(NEW, TABLE)
