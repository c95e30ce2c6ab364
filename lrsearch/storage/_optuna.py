"""Everything private of Optuna that the mirror needs: its tables, written in bulk.

Read in Optuna 5.0.0 (schema v3.2.0.a).

Through Optuna's own interface a trial with 15 parameters takes 73 statements in 7 transactions;
written here, 10 in 2, and each of the two is atomic: a row is there under its number with all it
has, or not at all. Knows nothing of our ledger.
"""

from __future__ import annotations

import json
import logging
import random
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import optuna.storages
from alembic.script import ScriptDirectory
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import TrialState
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
    update,
)

from lrsearch.errors import InvalidValue, LrSearchError, SchemaMismatch, StorageUnavailable
from lrsearch.storage.database import engine_options, make_atomic, new_id, where
from lrsearch.storage.url import is_sqlite
from lrsearch.values import Direction, Json

MARK = "lrsearch"  # the study's user attribute that says that it mirrors one of ours
_METRIC_NAMES = "study:metric_names"
_DIVERGED = f"{_CONSTRAINTS_KEY}:diverged"
_TRIES = 8
# It announces every study that it makes; ours are announced by us.
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.WARNING)
_DIRECTIONS = {
    Direction.MINIMIZE: StudyDirection.MINIMIZE,
    Direction.MAXIMIZE: StudyDirection.MAXIMIZE,
}

_studies: Table = models.StudyModel.__table__
_trials: Table = models.TrialModel.__table__
_params: Table = models.TrialParamModel.__table__
_values: Table = models.TrialValueModel.__table__
_intermediate: Table = models.TrialIntermediateValueModel.__table__
_user_attrs: Table = models.TrialUserAttributeModel.__table__
_system_attrs: Table = models.TrialSystemAttributeModel.__table__
_heartbeats: Table = models.TrialHeartbeatModel.__table__
_study_attrs: Table = models.StudySystemAttributeModel.__table__
_marks: Table = models.StudyUserAttributeModel.__table__
_study_rows: tuple[Table, ...] = tuple(
    model.__table__
    for model in (
        models.StudyUserAttributeModel,
        models.StudySystemAttributeModel,
        models.StudyDirectionModel,
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What a trial's final row holds; `value` None: no value is stored, as for a failure."""

    state: TrialState
    value: float | None
    diverged: bool
    at: float  # seconds since 1970
    curve: Mapping[int, float]  # the objective by epoch, finite


# -- opening ---------------------------------------------------------------------------------------------------------------------


def open_optuna(url: URL) -> RDBStorage:
    """Optuna's storage, without its cache, under the same time-outs and atomic transactions as the
    ledger's.

    Its constructor makes the tables. Several processes may do so at once: all but one fail, and the
    tables are right, so another try is enough (7 of 32 got through at the first). Raises
    SchemaMismatch, StorageUnavailable.
    """
    # RDBStorage runs str.format over the URL, so that a brace in a password would be a field.
    template = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    for attempt in range(1, _TRIES + 1):
        try:
            return _opened(template, url)
        except RuntimeError as error:
            raise _mismatch(url, " ".join(str(error).split())) from error
        # a race shows as many kinds of error, of SQLAlchemy's, Optuna's and the driver's
        except Exception as error:
            if attempt == _TRIES:
                raise StorageUnavailable(
                    f"Optuna cannot open {where(url)}: {' '.join(str(error).split())[:300]}"
                ) from error
            time.sleep(random.uniform(0.05, 0.3) * attempt)  # noqa: S311 - not for secrets
    raise AssertionError


def _opened(template: str, url: URL) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(template, engine_kwargs=engine_options(url))
    if is_sqlite(url):
        storage.engine.dispose()  # connections of the constructor's have not our settings
        make_atomic(storage.engine)
    return storage


def close_optuna(storage: RDBStorage) -> None:
    """Give its connections back."""
    storage.remove_session()
    storage.engine.dispose()


def check_version(connection: Connection) -> None:
    """Refuse Optuna's tables of another version; none are well.

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
    return ScriptDirectory(str(Path(optuna.storages.__file__).parent / "_rdb" / "alembic"))


def _mismatch(url: URL, what: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"Optuna's tables in {where(url)} are of another version than Optuna {optuna.__version__}'s: {what}"
    )


# -- studies ---------------------------------------------------------------------------------------------------------------


def make_study(storage: RDBStorage, name: str, direction: Direction, objective: str) -> int:
    """The Optuna study that mirrors ours of that name: made, or found; any number of processes may
    try at once.

    Raises InvalidValue where it is somebody else's.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return _study_made(storage, name, direction, objective)
        except LrSearchError:
            raise
        # two set the same attribute at once: Optuna shows several kinds of error
        except Exception as error:
            if attempt == _TRIES:
                raise StorageUnavailable(
                    f"Optuna's study {name!r} could not be made: {' '.join(str(error).split())}"
                ) from error
            time.sleep(random.uniform(0.05, 0.3) * attempt)  # noqa: S311 - not for secrets
    raise AssertionError


def _study_made(storage: RDBStorage, name: str, direction: Direction, objective: str) -> int:
    refuse_foreign_study(storage, name)
    try:
        study_id = storage.create_new_study([_DIRECTIONS[direction]], study_name=name)
    except DuplicatedStudyError:
        study_id = _id_of(storage, name)
    if MARK not in storage.get_study_user_attrs(study_id):
        storage.set_study_system_attr(study_id, _METRIC_NAMES, [objective])
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
        raise InvalidValue(
            "the study's name", got=name, allowed=allowed, fix="Choose another with --name."
        ) from error
    # The trials first: ours are marked before they have any.
    if storage.get_n_trials(study_id) and MARK not in storage.get_study_user_attrs(study_id):
        allowed = "another one than that of a study which Optuna alone made in this database"
        raise InvalidValue(
            "the study's name", got=name, allowed=allowed, fix="Choose another with --name."
        )


AttrChange: TypeAlias = Callable[[Mapping[str, Json], Mapping[int, int]], Mapping[str, Json]]
"""(the study's system attributes, Optuna's trial ids by number) -> attributes to write"""


def change_attrs(connection: Connection, study_id: int, change: AttrChange) -> None:
    """Write the system attributes that `change` gives; each of a thousand by itself would take a
    minute.
    """
    locked = select(_studies.c.study_id).where(_studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).one_or_none() is None:
        return
    mine = _study_attrs.c.study_id == study_id
    stored = connection.execute(
        select(_study_attrs.c.key, _study_attrs.c.value_json).where(mine)
    ).all()
    numbers = connection.execute(
        select(_trials.c.number, _trials.c.trial_id).where(_trials.c.study_id == study_id)
    ).all()
    there = {row.key: json.loads(row.value_json) for row in stored}
    given = change(there, {row.number: row.trial_id for row in numbers})
    texts = {key: json.dumps(value) for key, value in given.items()}
    new = [
        {"study_id": study_id, "key": key, "value_json": text}
        for key, text in texts.items()
        if key not in there
    ]
    old = [{"which": key, "text": text} for key, text in texts.items() if key in there]
    if new:
        connection.execute(insert(_study_attrs), new)
    if old:
        changed = update(_study_attrs).where(mine, _study_attrs.c.key == bindparam("which"))
        connection.execute(changed.values(value_json=bindparam("text")), old)


def _id_of(storage: RDBStorage, name: str) -> int:
    """The id of Optuna's study of that very name.

    Raises KeyError, and InvalidValue where the database takes two names for one.

    MySQL and MariaDB compare without case and accents in tables that were made in their default
    alphabet.
    """
    study_id = storage.get_study_id_from_name(name)
    found = storage.get_study_name_from_id(study_id)
    if found != name:
        allowed = f"one that Optuna's tables in this database can tell from {found!r}: they do not see case and accents"
        raise InvalidValue(
            "the study's name", got=name, allowed=allowed, fix="Choose another with --name."
        )
    return study_id


def drop_study(connection: Connection, name: str) -> None:
    """Delete the Optuna study that mirrors ours of that very name, and all its rows, in a few
    statements.
    """
    query = select(_studies.c.study_id, _studies.c.study_name).where(_studies.c.study_name == name)
    for study_id in [row.study_id for row in connection.execute(query) if row.study_name == name]:
        marked = select(_marks.c.value_json).where(
            _marks.c.study_id == study_id, _marks.c.key == MARK
        )
        if connection.execute(marked).scalars().first() == json.dumps(name):
            _drop_rows(connection, study_id)


def _drop_rows(connection: Connection, study_id: int) -> None:
    mine = select(_trials.c.trial_id).where(_trials.c.study_id == study_id)
    for table in (_params, _values, _intermediate, _user_attrs, _system_attrs, _heartbeats):
        connection.execute(delete(table).where(table.c.trial_id.in_(mine)))
    connection.execute(delete(_trials).where(_trials.c.study_id == study_id))
    for table in (*_study_rows, _studies):
        connection.execute(delete(table).where(table.c.study_id == study_id))


# -- trials ----------------------------------------------------------------------------------------------------------------


def add_trial(
    connection: Connection,
    study_id: int,
    number: int,
    *,
    params: Mapping[str, Json],
    dimensions: Mapping[str, Mapping[str, Json]],
    attrs: Mapping[str, Json],
    began: float,
) -> int | None:
    """Make the RUNNING row of that number, or find it; returns its id, None where the study or the
    number before is not there.

    Optuna's own lock, the study's row, is held, so that numbers are given once.
    """
    locked = select(_studies.c.study_id).where(_studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).one_or_none() is None:
        return None
    newest = select(_trials.c.trial_id, _trials.c.number).where(_trials.c.study_id == study_id)
    last = connection.execute(newest.order_by(_trials.c.trial_id.desc()).limit(1)).one_or_none()
    if last is not None and last.number >= number:
        return int(connection.execute(newest.where(_trials.c.number == number)).one().trial_id)
    if number != (0 if last is None else last.number + 1):
        return None
    row = {
        "study_id": study_id,
        "number": number,
        "state": TrialState.RUNNING,
        "datetime_start": _naive(began),
    }
    trial_id = new_id(connection.execute(insert(_trials).values(**row)))
    rows = [
        _param_row(trial_id, dimensions[name], name, value)
        for name, value in params.items()
        if name in dimensions
    ]
    if filled := [each for each in rows if each is not None]:
        connection.execute(insert(_params), filled)
    if attrs:
        values = [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in attrs.items()
        ]
        connection.execute(insert(_user_attrs), values)
    return trial_id


def conclude(connection: Connection, trial_id: int, ending: Ending) -> None:
    """Give a running row its end, all at once; one that has ended stays as it is."""
    this = _trials.c.trial_id == trial_id
    state = connection.execute(
        select(_trials.c.state).where(this).with_for_update()
    ).scalar_one_or_none()
    if state is not TrialState.RUNNING:
        return
    if ending.curve:
        kind = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
        common = {"trial_id": trial_id, "intermediate_value_type": kind}
        rows = [
            {**common, "step": step, "intermediate_value": value}
            for step, value in ending.curve.items()
        ]
        connection.execute(insert(_intermediate), rows)
    constraint = json.dumps(1.0 if ending.diverged else 0.0)
    connection.execute(
        insert(_system_attrs).values(trial_id=trial_id, key=_DIVERGED, value_json=constraint)
    )
    if ending.value is not None:
        finite = models.TrialValueModel.TrialValueType.FINITE
        connection.execute(
            insert(_values).values(
                trial_id=trial_id, objective=0, value=ending.value, value_type=finite
            )
        )
    connection.execute(
        update(_trials).where(this).values(state=ending.state, datetime_complete=_naive(ending.at))
    )


def _param_row(
    trial_id: int, dimension: Mapping[str, Json], name: str, value: Json
) -> dict[str, Any] | None:
    distribution = _distribution(dimension, value)
    if distribution is None:
        return None
    stored = distribution.to_internal_repr(value)
    return {
        "trial_id": trial_id,
        "param_name": name,
        "param_value": stored,
        "distribution_json": distribution_to_json(distribution),
    }


def _distribution(dimension: Mapping[str, Json], value: Json) -> BaseDistribution | None:
    """The axis, widened where the user's own compile lies outside it; None for a value that no axis
    of the kind holds.
    """
    if dimension["kind"] == "categorical":
        choices = tuple(dimension["choices"])
        return CategoricalDistribution(choices) if value in choices else None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (dimension["log"] and value <= 0)
    ):
        return None
    low, high = min(dimension["low"], value), max(dimension["high"], value)
    if dimension["kind"] == "int":
        return IntDistribution(int(low), int(high), log=dimension["log"])
    return FloatDistribution(float(low), float(high), log=dimension["log"])


def _naive(seconds: float) -> datetime:
    """Optuna keeps times as naive UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
