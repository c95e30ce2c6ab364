"""The study file: loaded, checked, fingerprinted."""

from lrsearch.definition.fingerprint import fingerprint_of
from lrsearch.definition.loading import check_backend, load_study_file
from lrsearch.definition.names import check_study_name, study_name
from lrsearch.definition.study import StudyDefinition

__all__ = ["StudyDefinition", "check_backend", "check_study_name", "fingerprint_of", "load_study_file", "study_name"]
