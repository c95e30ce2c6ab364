"""A workload as lrsearch sees it: its study definition, and its settings as lrsearch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from settings import REFERENCE, SCHEDULES, Point
from workloads import Workload

from lrsearch import SearchSpace, StudyDefinition
from lrsearch.values import Setting

SPACE = SearchSpace(
    optimizers=tuple(REFERENCE), schedules=SCHEDULES, warmup=(0.0, 0.2), final=0.0
)


def study_of(
    workload: Workload,
) -> tuple[Callable[[], Any], Callable[[], Any], StudyDefinition]:
    """What a study file must have: `load_data`, `build_model`, `definition`."""

    def build_model() -> Any:
        return workload.compiled("adam")

    definition = StudyDefinition(
        objective="val_accuracy",
        epochs=workload.epochs,
        batch_size=workload.batch_size,
        space=SPACE,
    )
    return workload.data, build_model, definition


def setting_of(point: Point, batch_size: int) -> Setting:
    """The point as a setting of the workload's space."""
    params = {
        "optimizer": point.optimizer,
        "schedule": point.schedule,
        "lr_over_reference": point.learning_rate / REFERENCE[point.optimizer],
        "warmup": point.warmup,
    }
    return SPACE.with_batch_sizes((batch_size,)).setting_from(params)
