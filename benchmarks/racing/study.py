"""A task as lrsearch sees it: the default space, the validation split alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from racing.tasks import TASKS

from lrsearch import StudyDefinition


def study_of(name: str) -> tuple[Callable[[], Any], Callable[[], Any], StudyDefinition]:
    """What a study file must have: `load_data`, `build_model`, `definition`."""
    task = TASKS[name]
    definition = StudyDefinition(
        objective="val_loss", epochs=task.epochs, batch_size=task.batch_size
    )
    return lambda: task.data()[:2], lambda: task.compiled(task.default), definition
