"""The ledger's tables, beside Optuna's in the same database.

All times are seconds since 1970 by the database's clock, as floats: no time zone can
touch them. Values that are only stored and read are JSON text; what is counted,
compared or fenced is a column.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

from lrsearch.values import Kind, TrialState

metadata = MetaData()

LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
# SQLite numbers rows by itself only in an INTEGER primary key.
Id = BigInteger().with_variant(Integer(), "sqlite")
# MySQL compares names without case, and its default alphabet lacks most of Unicode.
Name = String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def required(name: str, *kind: Any, **options: Any) -> Column[Any]:
    """A column that every row fills."""
    return Column(name, *kind, nullable=False, **options)


def _key(name: str, kind: Any) -> Column[Any]:
    """A column of the primary key, filled by us."""
    return Column(name, kind, primary_key=True, autoincrement=False)


def _id() -> Column[Any]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _study(**options: Any) -> Column[Any]:
    owner = ForeignKey("lrsearch_studies.id", ondelete="CASCADE")
    return required("study_id", Id, owner, **options)


def _trial() -> Column[Any]:
    owner = ForeignKey("lrsearch_trials.id", ondelete="CASCADE")
    return required("trial_id", Id, owner, primary_key=True)


studies = Table(
    "lrsearch_studies",
    metadata,
    _id(),
    required("name", Name, unique=True),
    required("plan", LongText),
    required("state", String(16)),
    required("reason", LongText),
    Column("trials", Integer),  # the budget; NULL: time alone limits it
    # Search trials and retests together; NULL: `trials` and the retests' rule limit
    # them.
    Column("trainings", Integer),
    Column("deadline", Double),
    required("created_at", Double),
    Column("optuna_study_id", Integer),  # NULL until the first mirror
    required("revision", BigInteger),  # rises with every change of a trial
    # The search trials that there are: the budget's slots taken.
    required("searched", Integer),
    # The search trials that had ended when retests were last planned.
    required("retests_for", Integer),
    Column("mirror_owner", String(64)),
    Column("mirror_until", Double),
    # Threads of each CPU worker: a trial resumes bitwise only under the same number.
    Column("threads", Integer),
    # Changes of the definition that were accepted, a JSON list; NULL: none.
    Column("changes", LongText),
)

requests = Table(
    "lrsearch_requests",
    metadata,
    # Names one call: a call whose answer was lost gets the stored answer.
    Column("token", String(32), primary_key=True),
    _study(),
    required("answer", LongText),
)

trials = Table(
    "lrsearch_trials",
    metadata,
    _id(),
    _study(),
    required("number", Integer),
    required("kind", String(16)),
    required("origin", String(16)),
    required("state", String(16)),
    Column("setting", LongText),
    Column("params", LongText),
    Column("seed", BigInteger),
    Column("parent", Integer),  # of a retest or a retry: the search trial's number
    Column("repeat_no", Integer),  # "repeat" is a word of MySQL's
    Column("value", Double),
    Column("last_value", Double),
    Column("best_value", Double),
    Column("best_epoch", Integer),
    required("epochs", Integer, default=0),
    required("steps", BigInteger, default=0),
    required("seconds", Double, default=0.0),
    # The trial's share of its worker's time; NULL before version 0005.
    Column("worker_seconds", Double),
    required("attempt", Integer, default=0),
    required("lost", Integer, default=0),
    # Epochs that an earlier attempt had trained, too; NULL: none.
    Column("repeated_epochs", Integer),
    required("engine", String(32), default=""),
    required("reason", LongText, default=""),
    required("traceback", LongText, default=""),
    required("notes", LongText, default="[]"),
    required("logs", LongText, default="{}"),
    # The rates of the first, the peak and the last update, a JSON object; NULL: nobody
    # read them.
    Column("rates", LongText),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("worker_id", Id),
    Column("lease_until", Double),  # NULL unless running
    # Names the claim: a claim whose answer was lost finds its trial again.
    Column("token", String(32)),
    required("revision", BigInteger),
    Column("optuna_trial_id", Integer),
    required("mirrored", Integer, default=0),  # 0 nothing, 1 running row, 2 final row
    UniqueConstraint("study_id", "kind", "number", name="lrsearch_trials_number"),
    UniqueConstraint(
        "study_id", "kind", "parent", "repeat_no", name="lrsearch_trials_repeat"
    ),
    Index("lrsearch_trials_state", "study_id", "state", "kind", "number"),
    Index("lrsearch_trials_revision", "study_id", "revision"),
    Index("lrsearch_trials_mirrored", "study_id", "kind", "mirrored", "number"),
)

attempts = Table(
    "lrsearch_attempts",
    metadata,
    _trial(),
    _key("attempt", Integer),
    Column("worker_id", Id),
    required("status", String(16)),  # running, or a Status
    required("reason", LongText, default=""),
    required("started_at", Double),
    Column("ended_at", Double),
    # The time of the checkpoint that the next attempt went on from; NULL: all of this
    # attempt counts, or no attempt has followed.
    Column("kept_until", Double),
)

workers = Table(
    "lrsearch_workers",
    metadata,
    _id(),
    _study(),
    required("host", String(255)),
    required("pid", BigInteger),
    required("slot", String(64)),
    required("versions", Text),
    required("state", String(16)),
    required("started_at", Double),
    required("last_seen", Double),
    Index("lrsearch_workers_study", "study_id"),
)

calibrations = Table(
    "lrsearch_calibrations",
    metadata,
    _study(primary_key=True),
    Column("machine", String(255), primary_key=True),  # host, kind of slot, threads
    required("figures", LongText),
)

curves = Table(
    "lrsearch_curves",
    metadata,
    _trial(),
    _key("epoch", Integer),
    required("study_id", Id),
    required("kind", String(16)),
    required("attempt", Integer),
    required("step", BigInteger),
    required("rate", Double),
    required("seconds", Double),
    Column("value", Double),
    required("logs", LongText),
    Index("lrsearch_curves_rung", "study_id", "kind", "epoch", "value"),
)

checkpoints = Table(
    "lrsearch_checkpoints",
    metadata,
    _trial(),
    _key("attempt", Integer),
    _key("epoch", Integer),
    # Batches done of the epoch in progress; 0 at an epoch's end.
    _key("batch", Integer),
    required("path", LongText),
    required("sha256", String(64)),
    required("size", BigInteger),
    required("written_at", Double),
)

row_scores = Table(
    "lrsearch_row_scores",
    metadata,
    _trial(),
    Column("split", String(16), primary_key=True),
    required("study_id", Id),
    required("attempt", Integer),
    required("digest", String(32)),
    required("total", BigInteger),  # rows of the whole split
    required("kept", Integer),
    required("scores", LargeBinary),  # MySQL's BLOB holds 64 KiB, MOST_ROWS take 16
    Index("lrsearch_row_scores_study", "study_id"),
)

# Conditions on trials.
IS_SEARCH, IS_RETEST = (
    trials.c.kind == each.value for each in (Kind.SEARCH, Kind.RETEST)
)
IS_WAITING = trials.c.state == TrialState.WAITING.value
IS_RUNNING = trials.c.state == TrialState.RUNNING.value
