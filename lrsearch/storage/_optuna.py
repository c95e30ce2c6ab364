"""Every private name of Optuna that the storage needs: its tables, as SQLAlchemy's.

Written for Optuna 5.0.0 (schema v3.2.0.a).
"""

from __future__ import annotations

import logging
from pathlib import Path

import optuna.storages
from optuna.storages._rdb import models
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY

# Optuna's storage logs every study that it makes; lrsearch reports its studies itself.
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.WARNING)

MIGRATIONS = Path(optuna.storages.__file__).parent / "_rdb" / "alembic"
METRIC_NAMES = "study:metric_names"  # a system attribute of a study
DIVERGED = f"{_CONSTRAINTS_KEY}:diverged"  # a system attribute of a trial

_TABLES = models.BaseModel.metadata.tables
STUDIES = _TABLES["studies"]
STUDY_USER_ATTRS = _TABLES["study_user_attributes"]
STUDY_SYSTEM_ATTRS = _TABLES["study_system_attributes"]
DIRECTIONS = _TABLES["study_directions"]
TRIALS = _TABLES["trials"]
PARAMS = _TABLES["trial_params"]
VALUES = _TABLES["trial_values"]
INTERMEDIATE_VALUES = _TABLES["trial_intermediate_values"]
USER_ATTRS = _TABLES["trial_user_attributes"]
SYSTEM_ATTRS = _TABLES["trial_system_attributes"]
HEARTBEATS = _TABLES["trial_heartbeats"]

OF_A_STUDY = (STUDY_USER_ATTRS, STUDY_SYSTEM_ATTRS, DIRECTIONS)
OF_A_TRIAL = (PARAMS, VALUES, INTERMEDIATE_VALUES, USER_ATTRS, SYSTEM_ATTRS, HEARTBEATS)

FINITE_VALUE = models.TrialValueModel.TrialValueType.FINITE
FINITE_INTERMEDIATE = (
    models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
)
