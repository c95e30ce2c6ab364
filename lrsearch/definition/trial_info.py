"""The argument of a study's `callbacks(trial)`: the training for which it makes callbacks.

Knows nothing of Keras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lrsearch.values import Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialInfo:
    """The training for which a study's `callbacks(trial)` makes callbacks.

    label: "trial 12", "retest 2 of trial 12" or "first look": a name for a run in TensorBoard, W&B
        or MLflow.
    number: the search trial's number, as everywhere; a retest has the number of its trial. None in
        the first look.
    retest: 1, 2, 3, ... in a retest, else None.
    yours: whether this is your own compile, unchanged.
    setting: optimizer, learning_rate, schedule, batch_size, shape, hyper, extra;
        `setting.to_json()` is a dict.
    seed: of this training.
    attempt: 1, 2, ...; a training that was interrupted goes on in a new attempt, with callbacks and
        a folder of its own.
    resumed_epochs: the epochs that earlier attempts have finished; 0 where the training begins.
    folder: a pathlib.Path that exists and belongs to this attempt alone. `lrsearch delete` removes
        it with the study.
    first_look: True in the one call before trial 0, which learns what your callbacks log and
        whether one sets the rate. Nothing is trained with these callbacks, and their folder is
        deleted. Return the same kinds of callbacks as for a trial.
    """

    label: str
    number: int | None
    retest: int | None
    yours: bool
    setting: Setting
    seed: int
    attempt: int
    resumed_epochs: int
    folder: Path
    first_look: bool = False
