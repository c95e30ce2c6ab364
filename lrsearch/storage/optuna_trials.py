"""Optuna's trials, written in bulk.

Through Optuna's own interface a trial with 15 parameters takes 73 statements in 7 transactions;
written here, 10 in 2. Each of the two is atomic: a row is there under its number with all it has,
or not at all. Knows nothing of our ledger.
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
    """What a trial's final row holds; `value` None: no value is stored, as for a failure."""

    state: TrialState
    value: float | None
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
    """Make the RUNNING row of that number, or find it; returns its id, None where the study or the
    number before is not there.

    Optuna's own lock, the study's row, is held, so that numbers are given once.
    """
    if not lock_optuna_study(tx, study_id):
        return None
    newest = select(TRIALS.c.trial_id, TRIALS.c.number).where(TRIALS.c.study_id == study_id)
    last = tx.execute(newest.order_by(TRIALS.c.trial_id.desc()).limit(1)).one_or_none()
    if last is not None and last.number >= number:
        return int(tx.execute(newest.where(TRIALS.c.number == number)).one().trial_id)
    if number != (0 if last is None else last.number + 1):
        return None
    row = {"study_id": study_id, "number": number, "state": TrialState.RUNNING}
    trial_id = tx.insert(TRIALS, **row, datetime_start=_naive(began))
    if rows := _param_rows(trial_id, params, dimensions):
        tx.execute(insert(PARAMS), rows)
    if attrs:
        values = [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in attrs.items()
        ]
        tx.execute(insert(USER_ATTRS), values)
    return trial_id


def conclude(tx: Transaction, trial_id: int, ending: Ending) -> None:
    """Give a running row its end, all at once; one that has ended stays as it is."""
    this = TRIALS.c.trial_id == trial_id
    locked = select(TRIALS.c.state).where(this).with_for_update()
    if tx.execute(locked).scalar_one_or_none() is not TrialState.RUNNING:
        return
    if ending.curve:
        common = {"trial_id": trial_id, "intermediate_value_type": FINITE_INTERMEDIATE}
        rows = [
            {**common, "step": step, "intermediate_value": value}
            for step, value in ending.curve.items()
        ]
        tx.execute(insert(INTERMEDIATE_VALUES), rows)
    constraint = json.dumps(1.0 if ending.diverged else 0.0)
    tx.execute(insert(SYSTEM_ATTRS).values(trial_id=trial_id, key=DIVERGED, value_json=constraint))
    if ending.value is not None:
        value = {"objective": 0, "value": ending.value, "value_type": FINITE_VALUE}
        tx.execute(insert(VALUES).values(trial_id=trial_id, **value))
    ended = {"state": ending.state, "datetime_complete": _naive(ending.at)}
    tx.execute(update(TRIALS).where(this).values(**ended))


def _param_rows(
    trial_id: int, params: Mapping[str, Json], dimensions: Mapping[str, Mapping[str, Json]]
) -> list[dict[str, Any]]:
    """Rows of the parameters that have an axis which holds their value."""
    axes = {
        name: _distribution(dimensions[name], value)
        for name, value in params.items()
        if name in dimensions
    }
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": axis.to_internal_repr(params[name]),
            "distribution_json": distribution_to_json(axis),
        }
        for name, axis in axes.items()
        if axis is not None
    ]


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
