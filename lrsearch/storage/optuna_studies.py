"""Optuna's own storage in our database: opened, its version checked, and its studies made, changed
and deleted.

Knows nothing of our ledger.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import optuna
from alembic.script import ScriptDirectory
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import URL, Connection, bindparam, delete, insert, inspect, select, text, update

from lrsearch.errors import InvalidValue, LrSearchError, SchemaMismatch, StorageUnavailable
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
from lrsearch.storage.transaction import Transaction
from lrsearch.storage.url import is_sqlite
from lrsearch.values import Direction, Json

MARK = "lrsearch"  # the study's user attribute that says that it mirrors one of ours
_DIRECTIONS = {
    Direction.MINIMIZE: StudyDirection.MINIMIZE,
    Direction.MAXIMIZE: StudyDirection.MAXIMIZE,
}

# -- opening -------------------------------------------------------------------------------------


def open_optuna(url: URL) -> RDBStorage:
    """Optuna's storage, without its cache, under the same time-outs and atomic transactions as the
    ledger's.

    Its constructor makes the tables. Several processes may do so at once: all but one fail, and the
    tables are right, so another try is enough (7 of 32 got through at the first). Raises
    SchemaMismatch, StorageUnavailable.
    """
    try:
        return retry_races(final=RuntimeError)(_open, url)
    except RuntimeError as error:
        raise _mismatch(url, _in_one_line(error)) from error
    # a race shows as many kinds of error, of SQLAlchemy's, Optuna's and the driver's
    except Exception as error:
        text = f"Optuna cannot open {where(url)}: {_in_one_line(error)[:300]}"
        raise StorageUnavailable(text) from error


def _open(url: URL) -> RDBStorage:
    # RDBStorage runs str.format over the URL, so that a brace in a password would be a field.
    template = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(template, engine_kwargs=engine_options(url))
    if is_sqlite(url):
        storage.engine.dispose()  # the constructor's connections have not our settings
        make_atomic(storage.engine)
    return storage


def close_optuna(storage: RDBStorage) -> None:
    """Give its connections back."""
    storage.remove_session()
    storage.engine.dispose()


def check_version(connection: Connection) -> None:
    """Refuse Optuna's tables of another version; none are allowed.

    Never migrates. Raises SchemaMismatch.
    """
    if not inspect(connection).has_table("alembic_version"):
        return
    found = connection.execute(text("select version_num from alembic_version")).scalars().first()
    scripts = _migrations()
    if found is None or found == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    old = "Stop every worker, then: optuna storage upgrade --storage URL"
    raise _mismatch(
        connection.engine.url,
        f"{found}. {old if found in known else 'Install the newer Optuna that made them.'}",
    )


@cache
def _migrations() -> ScriptDirectory:
    """Optuna's migrations; read once, since alembic imports each of them."""
    return ScriptDirectory(str(MIGRATIONS))


def _mismatch(url: URL, what: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"Optuna's tables in {where(url)} are of another version than Optuna"
        f" {optuna.__version__}'s: {what}"
    )


# -- studies -------------------------------------------------------------------------------------


def make_study(storage: RDBStorage, name: str, direction: Direction, objective: str) -> int:
    """The Optuna study that mirrors ours of that name: made, or found; any number of processes may
    try at once.

    Raises InvalidValue where it is somebody else's.
    """
    # two set the same attribute at once: Optuna shows several kinds of error
    try:
        return retry_races(final=LrSearchError)(_make_study, storage, name, direction, objective)
    except LrSearchError:
        raise
    except Exception as error:
        text = f"Optuna's study {name!r} could not be made: {_in_one_line(error)}"
        raise StorageUnavailable(text) from error


def _make_study(storage: RDBStorage, name: str, direction: Direction, objective: str) -> int:
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
    """Raises InvalidValue where Optuna has a study of that name with trials that are not ours, or
    takes it for another's name.
    """
    try:
        study_id = _id_of(storage, name)
    except KeyError:
        return
    except StorageInternalError as error:
        if name.isascii():
            raise
        # MySQL's tables that somebody made in its default alphabet.
        allowed = "in ASCII: Optuna's tables in this database take no other"
        raise _refuse_name(name, allowed) from error
    # The trials first: ours are marked before they have any.
    if storage.get_n_trials(study_id) and MARK not in storage.get_study_user_attrs(study_id):
        allowed = "another one than that of a study which Optuna alone made in this database"
        raise _refuse_name(name, allowed)


AttrChange: TypeAlias = Callable[[Mapping[str, Json], Mapping[int, int]], Mapping[str, Json]]
"""(the study's system attributes, Optuna's trial ids by number) -> attributes to write"""


def lock_optuna_study(tx: Transaction, study_id: int) -> bool:
    """Take Optuna's own lock, the study's row; False where it is not there."""
    locked = select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update()
    return tx.execute(locked).one_or_none() is not None


def change_attrs(tx: Transaction, study_id: int, change: AttrChange) -> None:
    """Write the system attributes that `change` gives; each of a thousand by itself would take a
    minute.
    """
    if not lock_optuna_study(tx, study_id):
        return
    attrs = STUDY_SYSTEM_ATTRS
    mine = attrs.c.study_id == study_id
    stored = tx.execute(select(attrs.c.key, attrs.c.value_json).where(mine))
    there = {row.key: json.loads(row.value_json) for row in stored}
    found = select(TRIALS.c.number, TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    given = change(there, {row.number: row.trial_id for row in tx.execute(found)})
    rows = [{"which": key, "text": json.dumps(value)} for key, value in given.items()]
    if old := [row for row in rows if row["which"] in there]:
        changed = update(attrs).where(mine, attrs.c.key == bindparam("which"))
        tx.execute(changed.values(value_json=bindparam("text")), old)
    if new := [row for row in rows if row["which"] not in there]:
        columns: dict[str, Any] = {"key": bindparam("which"), "value_json": bindparam("text")}
        tx.execute(insert(attrs).values(study_id=study_id, **columns), new)


def _id_of(storage: RDBStorage, name: str) -> int:
    """The id of Optuna's study of that very name.

    Raises KeyError, and InvalidValue where the database takes two names for one: MySQL and MariaDB
    compare without case and accents in tables that were made in their default alphabet.
    """
    study_id = storage.get_study_id_from_name(name)
    found = storage.get_study_name_from_id(study_id)
    if found != name:
        allowed = (
            f"one that Optuna's tables in this database can tell from {found!r}: they do not see"
            " case and accents"
        )
        raise _refuse_name(name, allowed)
    return study_id


def drop_study(tx: Transaction, name: str) -> None:
    """Delete the Optuna study that mirrors ours of that very name, and all its rows, in a few
    statements.
    """
    query = select(STUDIES.c.study_id, STUDIES.c.study_name).where(STUDIES.c.study_name == name)
    for study_id in [row.study_id for row in tx.execute(query) if row.study_name == name]:
        attrs = STUDY_USER_ATTRS.c
        marked = select(attrs.value_json).where(attrs.study_id == study_id, attrs.key == MARK)
        if tx.execute(marked).scalars().first() == json.dumps(name):
            _drop_rows(tx, study_id)


def _drop_rows(tx: Transaction, study_id: int) -> None:
    mine = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    for table in OF_A_TRIAL:
        tx.execute(delete(table).where(table.c.trial_id.in_(mine)))
    tx.execute(delete(TRIALS).where(TRIALS.c.study_id == study_id))
    for table in (*OF_A_STUDY, STUDIES):
        tx.execute(delete(table).where(table.c.study_id == study_id))


def _refuse_name(name: str, allowed: str) -> InvalidValue:
    fix = "Choose another with --name."
    return InvalidValue("the study's name", got=name, allowed=allowed, fix=fix)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
