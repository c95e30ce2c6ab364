"""The task `mlp` as a study file: the default space, and no test split."""

from study import study_of

load_data, build_model, definition = study_of("mlp")
