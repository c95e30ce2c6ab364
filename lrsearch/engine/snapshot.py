"""A model's whole training state, taken and put back at a batch's end.

`save_weights` and `.keras` files lose seed states, so the variables are taken one by one: weights,
statistics, seeds, the optimizer's own, Keras' global seed and, within an epoch, the metrics'
running means. The data order needs none: it is a function of seed and epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from lrsearch.engine._keras_model import build_fully
from lrsearch.engine._keras_optimizer import optimizer_state
from lrsearch.engine._keras_state import seed_state
from lrsearch.engine.types import Batch, Model, Tensor, Variable
from lrsearch.values import Snapshot

_METRICS = "metrics"


def take_arrays(
    model: Model, *, within: bool, aside: Mapping[int, Tensor]
) -> dict[str, np.ndarray]:
    """The model's state by name; `within` an epoch the metrics' running means too.

    `aside` holds, by the variable's id, values that are put aside while the model is evaluated.
    """
    found = _variables(model) | (_metrics(model) if within else {})
    return {
        name: keras.ops.convert_to_numpy(aside.get(id(each), each)) for name, each in found.items()
    }


def restore_snapshot(model: Model, snapshot: Snapshot, batch: Batch) -> None:
    """Put a state back into a fresh, compiled model.

    `batch` shapes whatever is not built yet; it is empty where all is built.

    The metrics begin anew with every epoch, and are put back after that: `restore_metrics`. Raises
    ValueError where the model is another one: a changed study file is refused before, by its
    fingerprint.
    """
    if batch:
        build_fully(model, batch)
        if snapshot.batch:
            model.test_step(batch)  # makes the metrics' variables
    _assign(_variables(model), snapshot.arrays, ("model", "optimizer", "seed"))


def restore_metrics(model: Model, snapshot: Snapshot) -> None:
    """Put the epoch's running means back. Raises ValueError as above."""
    _assign(_metrics(model), snapshot.arrays, (_METRICS,))


def _assign(
    variables: Mapping[str, Variable], arrays: Mapping[str, np.ndarray], groups: Sequence[str]
) -> None:
    if set(variables) != {name for name in arrays if name.split("/")[0] in groups}:
        raise ValueError("the checkpoint is of another model: its variables differ")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _variables(model: Model) -> dict[str, Variable]:
    """By place, not by name: names need not differ, places never do."""
    groups = {
        "model": model.variables,
        "optimizer": optimizer_state(model.optimizer),
        "seed": [seed_state()],
    }
    return {
        f"{group}/{place}": variable
        for group, found in groups.items()
        for place, variable in enumerate(found)
    }


def _metrics(model: Model) -> dict[str, Variable]:
    return {
        f"{_METRICS}/{place}": variable for place, variable in enumerate(model.metrics_variables)
    }
