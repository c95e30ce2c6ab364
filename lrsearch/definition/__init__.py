"""The study file: loaded, checked, fingerprinted."""

from lrsearch.definition.fingerprint import fingerprint_of, recorded_of
from lrsearch.definition.folds import is_splitter
from lrsearch.definition.identity import (
    accept_changes,
    check_definition,
    check_facts,
    check_fields,
)
from lrsearch.definition.loading import check_backend, check_file, load_study_file
from lrsearch.definition.names import check_study_name, study_name
from lrsearch.definition.study import StudyDefinition
from lrsearch.definition.trial_info import TrialInfo

__all__ = [
    "StudyDefinition",
    "TrialInfo",
    "accept_changes",
    "check_backend",
    "check_definition",
    "check_facts",
    "check_fields",
    "check_file",
    "check_study_name",
    "fingerprint_of",
    "is_splitter",
    "load_study_file",
    "recorded_of",
    "study_name",
]
