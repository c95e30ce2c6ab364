"""Optuna's own storage in our database: open it, check its version, make and delete its studies.

Knows nothing of our ledger.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import TypeAlias

import optuna
from optuna.exceptions import (
    DuplicatedStudyError,
    ExperimentalWarning,
    StorageInternalError,
)
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import (
    URL,
    Connection,
    Table,
    bindparam,
    delete,
    insert,
    inspect,
    select,
    text,
)

from lrsearch.errors import (
    InvalidValue,
    LrSearchError,
    SchemaMismatch,
    StorageUnavailable,
)
from lrsearch.storage._optuna import (
    METRIC_NAMES,
    MIGRATIONS,
    OF_A_STUDY,
    OF_A_TRIAL,
    STUDIES,
    STUDY_SYSTEM_ATTRS,
    STUDY_USER_ATTRS,
    TRIALS,
)
from lrsearch.storage.connections import engine_options, where
from lrsearch.storage.database import make_atomic, retry_races
from lrsearch.storage.revisions import read_revisions
from lrsearch.storage.transaction import Transaction
from lrsearch.storage.url import is_sqlite
from lrsearch.values import Direction, Json

MARK = "lrsearch"  # a user attribute of Optuna's studies that mirror ours
_DIRECTIONS = {
    Direction.MINIMIZE: StudyDirection.MINIMIZE,
    Direction.MAXIMIZE: StudyDirection.MAXIMIZE,
}

# -- opening ---------------------------------------------------------------------------


def open_optuna(url: URL) -> RDBStorage:
    """Open Optuna's storage without its cache, with the ledger's time-outs and transactions.

    Optuna's constructor makes the tables, and several processes may do so at once
    (`retry_races`). Raises SchemaMismatch, StorageUnavailable.
    """
    try:
        return retry_races(final=RuntimeError)(_open, url)
    except RuntimeError as error:
        raise _mismatch(url, _in_one_line(error), "") from error
    except Exception as error:
        # a race raises many kinds: SQLAlchemy's, Optuna's, the driver's
        text = f"Optuna cannot open {where(url)}: {_in_one_line(error)[:300]}"
        raise StorageUnavailable(text) from error


def _open(url: URL) -> RDBStorage:
    # RDBStorage runs str.format over the URL: a brace in a password would be a field.
    template = (
        url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(template, engine_kwargs=engine_options(url))
    if is_sqlite(url):
        storage.engine.dispose()  # the constructor's connections lack our settings
        make_atomic(storage.engine)
    return storage


def close_optuna(storage: RDBStorage) -> None:
    """Close the connections of Optuna's storage."""
    storage.remove_session()
    storage.engine.dispose()


def check_version(connection: Connection) -> None:
    """Refuse Optuna's tables of another version, and migrate none; missing tables are fine.

    Raises SchemaMismatch.
    """
    if not inspect(connection).has_table("alembic_version"):
        return
    version = (
        connection.execute(text("select version_num from alembic_version"))
        .scalars()
        .first()
    )
    theirs = read_revisions(MIGRATIONS)
    if version is None or version == theirs.newest:
        return
    fix = "Install the newer Optuna that made them."
    if version in theirs.known:
        fix = "Stop every worker, then: optuna storage upgrade --storage URL"
    raise _mismatch(connection.engine.url, f"{version}.", fix)


def _mismatch(url: URL, what: str, fix: str) -> SchemaMismatch:
    other = f"are of another version than Optuna {optuna.__version__}'s"
    return SchemaMismatch(f"Optuna's tables in {where(url)} {other}: {what}", fix=fix)


# -- studies ---------------------------------------------------------------------------


def make_study(
    storage: RDBStorage, name: str, direction: Direction, objective: str
) -> int:
    """Make or find the Optuna study that mirrors ours of that name; returns Optuna's id.

    Any number of processes may try at once: where two set the same attribute, Optuna
    raises several kinds of error. Raises InvalidValue where the study is somebody
    else's.
    """
    try:
        return retry_races(final=LrSearchError)(
            _make_study, storage, name, direction, objective
        )
    except LrSearchError:
        raise
    except Exception as error:  # as in `open_optuna`
        text = f"Optuna's study {name!r} could not be made: {_in_one_line(error)}"
        raise StorageUnavailable(text) from error


def _make_study(
    storage: RDBStorage, name: str, direction: Direction, objective: str
) -> int:
    refuse_foreign_study(storage, name)
    try:
        study_id = storage.create_new_study([_DIRECTIONS[direction]], study_name=name)
    except DuplicatedStudyError:
        study_id = _id_of(storage, name)
    if MARK not in storage.get_study_user_attrs(study_id):
        storage.set_study_system_attr(study_id, METRIC_NAMES, [objective])
        storage.set_study_user_attr(study_id, MARK, name)
    return study_id


def refuse_foreign_study(storage: RDBStorage, name: str) -> None:
    """Raise InvalidValue where Optuna has a study of that name whose trials are not ours.

    Raise it also where Optuna's tables cannot tell the name from another one.
    """
    try:
        study_id = _id_of(storage, name)
    except KeyError:
        return
    except StorageInternalError as error:
        if name.isascii():
            raise
        # The tables were made in MySQL's default alphabet.
        allowed = "in ASCII: Optuna's tables in this database take no other"
        raise _refuse_name(name, allowed) from error
    # The trials are read first: a study of ours is marked before it has any.
    if storage.get_n_trials(study_id) and MARK not in storage.get_study_user_attrs(
        study_id
    ):
        allowed = (
            "another one than that of a study which Optuna alone made in this database"
        )
        raise _refuse_name(name, allowed)


AttrChange: TypeAlias = Callable[
    [Mapping[str, Json], Mapping[int, int]], Mapping[str, Json]
]
"""(the study's system attributes, Optuna's trial ids by number) -> attributes to write"""


def lock_optuna_study(tx: Transaction, study_id: int) -> bool:
    """Lock the row of Optuna's study, as Optuna does; False where it is not there."""
    locked = (
        select(STUDIES.c.study_id)
        .where(STUDIES.c.study_id == study_id)
        .with_for_update()
    )
    return tx.execute(locked).one_or_none() is not None


def change_attrs(
    tx: Transaction, study_id: int, change: AttrChange, says: Mapping[str, Json]
) -> None:
    """Write the system attributes that `change` returns, and those that people see, in bulk.

    A thousand attributes, each by itself, would take a minute. `says` is written only
    together with a change.
    """
    if not lock_optuna_study(tx, study_id):
        return
    attrs = STUDY_SYSTEM_ATTRS
    mine = attrs.c.study_id == study_id
    stored = tx.execute(select(attrs.c.key, attrs.c.value_json).where(mine))
    before = {row.key: json.loads(row.value_json) for row in stored}
    numbers = select(TRIALS.c.number, TRIALS.c.trial_id).where(
        TRIALS.c.study_id == study_id
    )
    after = change(before, {row.number: row.trial_id for row in tx.execute(numbers)})
    _write_attrs(tx, STUDY_SYSTEM_ATTRS, study_id, after)
    if after and says:
        _write_attrs(tx, STUDY_USER_ATTRS, study_id, says)


def _write_attrs(
    tx: Transaction, attrs: Table, study_id: int, after: Mapping[str, Json]
) -> None:
    mine = attrs.c.study_id == study_id
    if not after:
        return
    keys = [{"which": key} for key in after]
    tx.execute(delete(attrs).where(mine, attrs.c.key == bindparam("which")), keys)
    rows = [
        {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
        for key, value in after.items()
    ]
    tx.execute(insert(attrs), rows)


def _id_of(storage: RDBStorage, name: str) -> int:
    """The id of Optuna's study of that very name.

    Raises KeyError, and InvalidValue where the database takes two names for one: MySQL
    and MariaDB ignore case and accents in tables that were made in their default
    alphabet.
    """
    study_id = storage.get_study_id_from_name(name)
    other = storage.get_study_name_from_id(study_id)
    if other != name:
        allowed = f"one that Optuna's tables in this database can tell from {other!r}"
        raise _refuse_name(name, f"{allowed}: they do not see case and accents")
    return study_id


def drop_study(tx: Transaction, name: str) -> None:
    """Delete the Optuna study that mirrors ours of that very name, and all its rows."""
    attrs = STUDY_USER_ATTRS.c
    marked = select(attrs.study_id).where(
        attrs.key == MARK, attrs.value_json == json.dumps(name)
    )
    query = select(STUDIES).where(
        STUDIES.c.study_name == name, STUDIES.c.study_id.in_(marked)
    )
    for study in tx.execute(query).all():
        if study.study_name != name:  # MySQL may compare names without case
            continue
        mine = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study.study_id)
        for table in OF_A_TRIAL:
            tx.execute(delete(table).where(table.c.trial_id.in_(mine)))
        for table in (TRIALS, *OF_A_STUDY, STUDIES):
            tx.execute(delete(table).where(table.c.study_id == study.study_id))


def _refuse_name(name: str, allowed: str) -> InvalidValue:
    fix = "Choose another with --name."
    return InvalidValue("the study's name", got=name, allowed=allowed, fix=fix)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
