"""The Keras classes of the space; imports Keras, so it is loaded late."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from lrsearch.space.schedules import multiplier_of
from lrsearch.values import Setting


@keras.saving.register_keras_serializable(package="lrsearch")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A setting's learning rate by update, as Keras asks for it.

    `accumulation` is the optimizer's gradient_accumulation_steps: Keras then counts
    batches, and this schedule counts updates. Rates are computed in float64, where a
    million steps and a restart's edge are exact, and handed over as float32. Where
    Keras computes in float64, they stay float64: Muon multiplies gradients with the
    rate as it comes, and TensorFlow refuses to mix the two types.
    """

    def __init__(
        self,
        *,
        setting: Setting | dict[str, Any],
        total_steps: int,
        accumulation: int = 1,
    ) -> None:
        super().__init__()
        self.setting = (
            setting if isinstance(setting, Setting) else Setting.from_json(setting)
        )
        self.total_steps, self.accumulation = total_steps, accumulation

    def __call__(self, step: Any) -> Any:
        index = ops.cast(
            ops.floor_divide(ops.cast(step, "int64"), self.accumulation), "float64"
        )
        value = self.setting.learning_rate * multiplier_of(
            ops, self.setting, index, self.total_steps
        )
        return ops.cast(
            value, "float64" if keras.config.floatx() == "float64" else "float32"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "setting": self.setting.to_json(),
            "total_steps": self.total_steps,
            "accumulation": self.accumulation,
        }
