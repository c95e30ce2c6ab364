"""A model's whole training state, taken and put back at an epoch's end.

`save_weights` and `.keras` files lose seed states, so the variables are taken one by one: weights, statistics, seeds, the
optimizer's own, and Keras' global seed. The data order needs none: it is a function of seed and epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from lrsearch.engine import _keras
from lrsearch.values import Json, Snapshot


def take_snapshot(model: Any, *, epoch: int, step: int, meta: Mapping[str, Json]) -> Snapshot:
    """The state after `epoch` epochs and `step` updates."""
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in _variables(model).items()}
    return Snapshot(epoch=epoch, step=step, arrays=arrays, meta=meta)


def restore_snapshot(model: Any, snapshot: Snapshot, batch: tuple[Any, ...]) -> None:
    """Put a state back into a fresh, compiled model; `batch` shapes whatever is not built yet (empty: all is).

    Raises ValueError where the model is another one: a changed study file is refused before, by its fingerprint.
    """
    if batch:
        _keras.build_fully(model, batch)
    variables = _variables(model)
    if set(variables) != set(snapshot.arrays):
        raise ValueError("the checkpoint is of another model: its variables differ")
    for name, variable in variables.items():
        variable.assign(snapshot.arrays[name])


def _variables(model: Any) -> dict[str, Any]:
    """By place, not by name: names need not differ, places never do."""
    groups = {
        "model": model.variables,
        "optimizer": _keras.optimizer_state(model.optimizer),
        "seed": [_keras.seed_state()],
    }
    return {f"{group}/{place}": variable for group, found in groups.items() for place, variable in enumerate(found)}
