"""Every private name of Optuna that the storage needs: its tables, as SQLAlchemy's.

Read in Optuna 5.0.0 (schema v3.2.0.a).
"""

from __future__ import annotations

import logging
from pathlib import Path

import optuna.storages
from optuna.storages._rdb import models
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from sqlalchemy import Table

# It announces every study that it makes; ours are announced by us.
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.WARNING)

MIGRATIONS = Path(optuna.storages.__file__).parent / "_rdb" / "alembic"
METRIC_NAMES = "study:metric_names"  # a system attribute of a study
DIVERGED = f"{_CONSTRAINTS_KEY}:diverged"  # a system attribute of a trial

STUDIES: Table = models.StudyModel.__table__
STUDY_USER_ATTRS: Table = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM_ATTRS: Table = models.StudySystemAttributeModel.__table__
DIRECTIONS: Table = models.StudyDirectionModel.__table__
TRIALS: Table = models.TrialModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
VALUES: Table = models.TrialValueModel.__table__
INTERMEDIATE_VALUES: Table = models.TrialIntermediateValueModel.__table__
USER_ATTRS: Table = models.TrialUserAttributeModel.__table__
SYSTEM_ATTRS: Table = models.TrialSystemAttributeModel.__table__
HEARTBEATS: Table = models.TrialHeartbeatModel.__table__

OF_A_STUDY = (STUDY_USER_ATTRS, STUDY_SYSTEM_ATTRS, DIRECTIONS)
OF_A_TRIAL = (PARAMS, VALUES, INTERMEDIATE_VALUES, USER_ATTRS, SYSTEM_ATTRS, HEARTBEATS)

FINITE_VALUE = models.TrialValueModel.TrialValueType.FINITE
FINITE_INTERMEDIATE = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
