"""Everything private of Optuna that the mirror needs. Read in Optuna 5.0.0 (schema v3.2.0.a)."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Mapping

from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from sqlalchemy import URL, insert, select
from sqlalchemy.exc import SQLAlchemyError

from lrsearch.errors import SchemaMismatch, StorageUnavailable
from lrsearch.storage.database import engine_options, make_atomic, where
from lrsearch.storage.url import is_sqlite

DIVERGED_KEY = f"{_CONSTRAINTS_KEY}:diverged"
_TRIES = 8


def open_optuna(url: URL) -> RDBStorage:
    """Optuna's storage, without its cache, under the same time-outs and atomic transactions as the ledger's.

    Its constructor makes the tables. Several processes may do so at once: all but one fail, and the tables are right, so another try
    is enough (7 of 32 got through at the first, all at the second). Raises SchemaMismatch.
    """
    # RDBStorage runs str.format over the URL, so that a brace in a password would be a field.
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    for attempt in range(1, _TRIES + 1):
        try:
            return _opened(text, url)
        except RuntimeError as error:
            raise SchemaMismatch(
                f"Optuna's tables in {where(url)} are of another version: {' '.join(str(error).split())}"
            ) from error
        except Exception as error:  # a race shows as many kinds of error, of SQLAlchemy's, Optuna's and the driver's
            if attempt == _TRIES:
                raise StorageUnavailable(f"Optuna cannot open {where(url)}: {' '.join(str(error).split())[:300]}") from error
            time.sleep(random.uniform(0.05, 0.3) * attempt)  # noqa: S311 - not for secrets
    raise AssertionError


def _opened(text: str, url: URL) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(text, engine_kwargs=engine_options(url))
    if is_sqlite(url):
        storage.engine.dispose()  # connections of the constructor's have not our settings
        make_atomic(storage.engine)
    return storage


def write_intermediate(storage: RDBStorage, trial_id: int, values: Mapping[int, float]) -> None:
    """A trial's objective by epoch, in three statements however many; Optuna's own way takes two or more an epoch."""
    model = models.TrialIntermediateValueModel
    kind = model.TrialIntermediateValueType.FINITE
    try:
        with storage.engine.begin() as connection:
            there = set(connection.execute(select(model.step).where(model.trial_id == trial_id)).scalars())
            rows = [
                {"trial_id": trial_id, "step": step, "intermediate_value": value, "intermediate_value_type": kind}
                for step, value in values.items()
                if step not in there
            ]
            if rows:
                connection.execute(insert(model), rows)
    except SQLAlchemyError as error:
        raise StorageUnavailable(f"Optuna's rows could not be written: {error}") from error
