"""Optuna's trials, written in bulk.

Optuna's own interface writes a trial with 15 parameters in 73 statements and 7
transactions; this module takes 10 statements and 2 transactions. Each transaction is
atomic: a row has its number and all its parts, or does not exist. Knows nothing of our
ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import TrialState
from sqlalchemy import insert, select, update

from lrsearch.storage._optuna import (
    DIVERGED,
    FINITE_INTERMEDIATE,
    FINITE_VALUE,
    INTERMEDIATE_VALUES,
    PARAMS,
    SYSTEM_ATTRS,
    TRIALS,
    USER_ATTRS,
    VALUES,
)
from lrsearch.storage.optuna_studies import lock_optuna_study
from lrsearch.storage.transaction import Transaction
from lrsearch.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What a trial's final row holds."""

    state: TrialState
    value: float | None  # None: no value is stored, as for a failure
    diverged: bool
    at: float  # seconds since 1970
    curve: Mapping[int, float]  # the objective by epoch, finite


def add_trial(
    tx: Transaction,
    study_id: int,
    number: int,
    *,
    params: Mapping[str, Json],
    dimensions: Mapping[str, Mapping[str, Json]],
    attrs: Mapping[str, Json],
    began: float,
) -> int | None:
    """Make or find the RUNNING row of that number; returns Optuna's id.

    None where the study or the number before is missing. The study's row is locked, as
    Optuna does, so that each number is given once.
    """
    if not lock_optuna_study(tx, study_id):
        return None
    newest = select(TRIALS.c.trial_id, TRIALS.c.number).where(
        TRIALS.c.study_id == study_id
    )
    last = tx.execute(newest.order_by(TRIALS.c.trial_id.desc()).limit(1)).one_or_none()
    if last is not None and last.number >= number:
        return int(tx.execute(newest.where(TRIALS.c.number == number)).one().trial_id)
    if number != (0 if last is None else last.number + 1):
        return None
    row = {"study_id": study_id, "number": number, "state": TrialState.RUNNING}
    trial_id = tx.insert(TRIALS, **row, datetime_start=_naive(began))
    if rows := _param_rows(trial_id, params, dimensions):
        tx.execute(insert(PARAMS), rows)
    for key, value in attrs.items():
        text = json.dumps(value)
        tx.execute(
            insert(USER_ATTRS).values(trial_id=trial_id, key=key, value_json=text)
        )
    return trial_id


def conclude(tx: Transaction, trial_id: int, ending: Ending) -> None:
    """Write the end of a running row; a row that has ended stays as it is."""
    this = TRIALS.c.trial_id == trial_id
    locked = select(TRIALS.c.state).where(this).with_for_update()
    if tx.execute(locked).scalar_one_or_none() is not TrialState.RUNNING:
        return
    if ending.curve:
        common = {"trial_id": trial_id, "intermediate_value_type": FINITE_INTERMEDIATE}
        points = ending.curve.items()
        rows = [
            {**common, "step": epoch, "intermediate_value": value}
            for epoch, value in points
        ]
        tx.execute(insert(INTERMEDIATE_VALUES), rows)
    constraint = json.dumps(1.0 if ending.diverged else 0.0)
    tx.execute(
        insert(SYSTEM_ATTRS).values(
            trial_id=trial_id, key=DIVERGED, value_json=constraint
        )
    )
    if ending.value is not None:
        value = {"objective": 0, "value": ending.value, "value_type": FINITE_VALUE}
        tx.execute(insert(VALUES).values(trial_id=trial_id, **value))
    ended = {"state": ending.state, "datetime_complete": _naive(ending.at)}
    tx.execute(update(TRIALS).where(this).values(**ended))


def _param_rows(
    trial_id: int,
    params: Mapping[str, Json],
    dimensions: Mapping[str, Mapping[str, Json]],
) -> list[dict[str, Any]]:
    """Rows of the parameters whose dimension can hold their value."""
    rows = []
    for name, value in params.items():
        axis = _distribution(dimensions[name], value) if name in dimensions else None
        if axis is not None:
            row = {"param_name": name, "param_value": axis.to_internal_repr(value)}
            text = distribution_to_json(axis)
            rows.append({"trial_id": trial_id, **row, "distribution_json": text})
    return rows


def _distribution(
    dimension: Mapping[str, Json], value: Json
) -> BaseDistribution | None:
    """The dimension's distribution, widened to `value`; None where it cannot hold the value.

    The user's own compile may lie outside the dimension.
    """
    if dimension["kind"] == "categorical":
        choices = tuple(dimension["choices"])
        return CategoricalDistribution(choices) if value in choices else None
    log = dimension["log"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (log and value <= 0):
        return None
    low, high = min(dimension["low"], value), max(dimension["high"], value)
    if dimension["kind"] == "int":
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _naive(seconds: float) -> datetime:
    """The time as Optuna stores it: naive, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
