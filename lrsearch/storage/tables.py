"""The ledger's tables, beside Optuna's in the same database.

All times are seconds since 1970 by the database's clock, as floats: no time zone can touch them.
Values that only travel are JSON text; what is counted, compared or fenced is a column.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
# SQLite numbers rows by itself only in an INTEGER primary key.
Id = BigInteger().with_variant(Integer(), "sqlite")
# MySQL compares names without case, and its default alphabet lacks most of Unicode.
Name = String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def _study() -> Column[int]:
    return Column(
        "study_id", Id, ForeignKey("lrsearch_studies.id", ondelete="CASCADE"), nullable=False
    )


def _trial(*, primary: bool = False) -> Column[int]:
    return Column(
        "trial_id",
        Id,
        ForeignKey("lrsearch_trials.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary,
    )


studies = Table(
    "lrsearch_studies",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Name, nullable=False, unique=True),
    Column("plan", LongText, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", LongText, nullable=False),
    Column("trials", Integer, nullable=True),  # the budget; NULL: time alone limits it
    # search trials and retests together; NULL: `trials` and the retests' rule
    Column("trainings", Integer, nullable=True),
    Column("deadline", Double, nullable=True),
    Column("created_at", Double, nullable=False),
    Column("optuna_study_id", Integer, nullable=True),  # NULL until the first mirror
    Column("revision", BigInteger, nullable=False),  # rises with every change of a trial
    # search trials there are: the budget's slots taken
    Column("searched", Integer, nullable=False),
    # search trials that had ended when retests were last planned
    Column("retests_for", Integer, nullable=False),
    Column("mirror_owner", String(64), nullable=True),
    Column("mirror_until", Double, nullable=True),
    # of each CPU worker: a trial resumes bitwise under the same number alone
    Column("threads", Integer, nullable=True),
    # of the definition, that were accepted: a JSON list; NULL: none
    Column("changes", LongText, nullable=True),
)

requests = Table(
    "lrsearch_requests",
    metadata,
    # of one call: whose answer was lost is answered again by it
    Column("token", String(32), primary_key=True),
    _study(),
    Column("answer", LongText, nullable=False),
)

trials = Table(
    "lrsearch_trials",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    _study(),
    Column("number", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("setting", LongText, nullable=True),
    Column("params", LongText, nullable=True),
    Column("seed", BigInteger, nullable=True),
    Column("parent", Integer, nullable=True),  # of a retest or a retry: the search trial's number
    Column("repeat_no", Integer, nullable=True),  # "repeat" is a word of MySQL's
    Column("value", Double, nullable=True),
    Column("last_value", Double, nullable=True),
    Column("best_value", Double, nullable=True),
    Column("best_epoch", Integer, nullable=True),
    Column("epochs", Integer, nullable=False, default=0),
    Column("steps", BigInteger, nullable=False, default=0),
    Column("seconds", Double, nullable=False, default=0.0),
    # its share of its worker's time; NULL before version 0005
    Column("worker_seconds", Double, nullable=True),
    Column("attempt", Integer, nullable=False, default=0),
    Column("lost", Integer, nullable=False, default=0),
    # trained by an earlier attempt, and once more; NULL: none
    Column("repeated_epochs", Integer, nullable=True),
    Column("engine", String(32), nullable=False, default=""),
    Column("reason", LongText, nullable=False, default=""),
    Column("traceback", LongText, nullable=False, default=""),
    Column("notes", LongText, nullable=False, default="[]"),
    Column("logs", LongText, nullable=False, default="{}"),
    Column("started_at", Double, nullable=True),
    Column("finished_at", Double, nullable=True),
    Column("worker_id", Id, nullable=True),
    Column("lease_until", Double, nullable=True),  # NULL unless running
    # of the claim: one whose answer was lost finds its trial again
    Column("token", String(32), nullable=True),
    Column("revision", BigInteger, nullable=False),
    Column("optuna_trial_id", Integer, nullable=True),
    Column("mirrored", Integer, nullable=False, default=0),  # 0 nothing, 1 running row, 2 final row
    UniqueConstraint("study_id", "kind", "number", name="lrsearch_trials_number"),
    UniqueConstraint("study_id", "kind", "parent", "repeat_no", name="lrsearch_trials_repeat"),
    Index("lrsearch_trials_state", "study_id", "state", "kind", "number"),
    Index("lrsearch_trials_revision", "study_id", "revision"),
    Index("lrsearch_trials_mirrored", "study_id", "kind", "mirrored", "number"),
)

attempts = Table(
    "lrsearch_attempts",
    metadata,
    _trial(primary=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker_id", Id, nullable=True),
    Column("status", String(16), nullable=False),  # running, or a Status
    Column("reason", LongText, nullable=False, default=""),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double, nullable=True),
    # What the next attempt went on from; NULL: all of this attempt counts, or no attempt has
    # followed.
    Column("kept_until", Double, nullable=True),
)

workers = Table(
    "lrsearch_workers",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    _study(),
    Column("host", String(255), nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("slot", String(64), nullable=False),
    Column("versions", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Index("lrsearch_workers_study", "study_id"),
)

calibrations = Table(
    "lrsearch_calibrations",
    metadata,
    Column("study_id", Id, ForeignKey("lrsearch_studies.id", ondelete="CASCADE"), primary_key=True),
    Column("machine", String(255), primary_key=True),  # host, kind of slot, threads
    Column("figures", LongText, nullable=False),
)

curves = Table(
    "lrsearch_curves",
    metadata,
    _trial(primary=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("study_id", Id, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("rate", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("value", Double, nullable=True),
    Column("logs", LongText, nullable=False),
    Index("lrsearch_curves_rung", "study_id", "kind", "epoch", "value"),
)

checkpoints = Table(
    "lrsearch_checkpoints",
    metadata,
    _trial(primary=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    # done of the epoch in progress; 0 at an epoch's end
    Column("batch", Integer, primary_key=True, autoincrement=False),
    Column("path", LongText, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("written_at", Double, nullable=False),
)
