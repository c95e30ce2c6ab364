"""Layers that a study file makes outside `build_model`, so that all of its models share them.

Their variables get their start values back before every model that is built and after every
training; without that each trial would go on from the last one's weights. What cannot be brought
back (a whole model, an optimizer, layers that are built by their first training) is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from keras import ops

from lrsearch.engine._tensorflow import created_at, things_created
from lrsearch.engine.types import Model, Optimizer, Variable
from lrsearch.errors import InvalidValue
from lrsearch.values import Json

_FIX = "Make it inside build_model: def build_model(): ..."
_DESCRIBED = 64  # variables whose start values are compared between workers
_TOLERANCE = 1e-3  # relative: other devices draw start values that differ in their last bits


class SharedLayers:
    """The shared variables of one `build_model`, with their start values."""

    def __init__(self) -> None:
        self._begun = things_created()
        self._starts: dict[int, tuple[Variable, np.ndarray]] = {}  # by the variable's id
        self._last_model: Callable[[], Any] = lambda: None

    def restore(self) -> None:
        """Bring every shared variable back to its start value."""
        for variable, value in self._starts.values():
            variable.assign(value)

    def note(self, model: Model, optimizer: Optimizer, *, before: int) -> None:
        """Learn what a new model shares: whatever was made before its building began (`before`).

        Raises InvalidValue for what would train on from one trial to the next.
        """
        if model is self._last_model():
            allowed = "a function that makes a new model at every call"
            _refuse(f"the same {type(model).__name__} twice", allowed)
        self._last_model = ref(model)
        if created_at(optimizer.iterations) < before:
            what = f"a model compiled with an {type(optimizer).__name__} that was made outside it"
            _refuse(what, "a function that makes a new optimizer at every call")
        for variable in model.variables:
            if created_at(variable) < before and id(variable) not in self._starts:
                self._learn(variable)

    def _learn(self, variable: Variable) -> None:
        # an earlier model of ours made it, and may have trained it
        if created_at(variable) >= self._begun:
            what = f"a layer that is kept from one call to the next ({variable.path})"
            allowed = (
                "a function that makes its layers, or takes built ones from the top of the file"
            )
            _refuse(what, allowed)
        self._starts[id(variable)] = (variable, ops.convert_to_numpy(variable))

    def described(self) -> list[Json]:
        """Some figures of the start values, by which workers know whether they begin alike."""
        values = [value for _, value in list(self._starts.values())[:_DESCRIBED] if value.size]
        return [[float(np.mean(each)), float(np.ravel(each)[0])] for each in values]


_known: WeakKeyDictionary[Any, SharedLayers] = WeakKeyDictionary()


def shared_layers(build_model: Any) -> SharedLayers:
    """What the models of this function share, as far as it is known."""
    try:
        return _known.setdefault(build_model, SharedLayers())
    # a callable that cannot be kept weakly: each of its models is looked at by itself
    except TypeError:
        return SharedLayers()


def forget_shared_layers(build_model: Any) -> None:
    """Begin to learn anew: what a notebook changed since the last search is a new start value."""
    with suppress(TypeError):
        _known.pop(build_model, None)


def alike(stored: list[Json], here: list[Json]) -> bool:
    """Whether two workers' shared layers begin with the same values."""
    return len(stored) == len(here) and bool(
        np.allclose(stored, here, rtol=_TOLERANCE, atol=_TOLERANCE**2)
    )


def _refuse(got: str, allowed: str) -> None:
    raise InvalidValue("build_model", got=got, allowed=allowed, fix=_FIX)
