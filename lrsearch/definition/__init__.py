"""The study file: loaded, checked, fingerprinted."""

from lrsearch.definition.fingerprint import fingerprint_of, recorded_of
from lrsearch.definition.identity import Comparison, changes_of, compare
from lrsearch.definition.loading import check_backend, load_study_file
from lrsearch.definition.names import check_study_name, study_name
from lrsearch.definition.study import StudyDefinition
from lrsearch.definition.trial_info import TrialInfo

__all__ = [
    "Comparison",
    "StudyDefinition",
    "TrialInfo",
    "changes_of",
    "check_backend",
    "check_study_name",
    "compare",
    "fingerprint_of",
    "load_study_file",
    "recorded_of",
    "study_name",
]
