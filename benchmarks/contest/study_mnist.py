"""The workload `mnist` as a study file."""

from study import study_of
from workloads import WORKLOADS

load_data, build_model, definition = study_of(WORKLOADS["mnist"])
