"""A model's whole training state, taken and put back at a batch's end.

`save_weights` and `.keras` files lose seed states, so the variables are taken one by
one: weights, statistics, seeds, the optimizer's own, Keras' global seed and, within an
epoch, the metrics' running means. The data order is not taken: it is a function of seed
and epoch.
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


def take_arrays(
    model: Model, *, within: bool, aside: Mapping[int, Tensor]
) -> dict[str, np.ndarray]:
    """The model's state by name; `within` an epoch the metrics' running means too.

    `aside` has, by the variable's id, values that are put aside while the model is
    evaluated.
    """
    variables = _variables(model) | (_metrics(model) if within else {})
    return {
        name: keras.ops.convert_to_numpy(aside.get(id(each), each))
        for name, each in variables.items()
    }


def read_weights(
    model: Model, other: Mapping[int, Tensor] | None = None
) -> list[Tensor]:
    """The values of `model.variables`, in order, whatever is assigned to the variables later.

    `other` has values in place of some, by the variable's id. Nothing is copied before
    that.
    """
    known = other or {}
    return [
        known[id(each)] if id(each) in known else each.value.read_value()
        for each in model.variables
    ]


def restore_snapshot(model: Model, snapshot: Snapshot, batch: Batch) -> None:
    """Put a state back into a fresh, compiled model, but for the metrics: `restore_metrics`.

    `batch` builds whatever is not built yet; it is empty where all is built. Raises
    ValueError where the model is another one: a changed study file is refused before,
    by its fingerprint.
    """
    if batch:
        build_fully(model, batch)
        if snapshot.batch:
            model.test_step(batch)  # makes the metrics' variables
    _assign(_variables(model), snapshot)


def restore_metrics(model: Model, snapshot: Snapshot) -> None:
    """Put the epoch's running means back, once the epoch has reset them. Raises ValueError."""
    _assign(_metrics(model), snapshot)


def _assign(variables: Mapping[str, Variable], snapshot: Snapshot) -> None:
    """Assign every array of the variables' groups; the group begins a name."""
    groups = {name.split("/")[0] for name in variables}
    if set(variables) != {
        name for name in snapshot.arrays if name.split("/")[0] in groups
    }:
        raise ValueError("the checkpoint is of another model: its variables differ")
    for name, variable in variables.items():
        variable.assign(snapshot.arrays[name])


def _variables(model: Model) -> dict[str, Variable]:
    return {
        **_by_place("model", model.variables),
        **_by_place("optimizer", optimizer_state(model.optimizer)),
        **_by_place("seed", [seed_state()]),
    }


def _metrics(model: Model) -> dict[str, Variable]:
    return _by_place("metrics", model.metrics_variables)


def _by_place(group: str, variables: Sequence[Variable]) -> dict[str, Variable]:
    """Name variables by place: two may share a name, never a place."""
    return {f"{group}/{place}": variable for place, variable in enumerate(variables)}
