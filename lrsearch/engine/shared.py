"""Layers that a study file makes outside `build_model`, so that all of its models share them.

Their variables get their start values back before every build and after every training;
otherwise each trial would go on from the last one's weights. What has no start values
to bring back (a whole model, an optimizer, layers that their first training builds) is
refused.
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
# relative: other devices draw start values that differ in their last bits
_TOLERANCE = 1e-3


class SharedLayers:
    """The shared variables of one `build_model`, with their start values."""

    def __init__(self) -> None:
        self._since = things_created()
        # by the variable's id
        self._starts: dict[int, tuple[Variable, np.ndarray]] = {}
        self._last_model: Callable[[], Any] = lambda: None

    def restore(self) -> None:
        """Bring every shared variable back to its start value."""
        for variable, value in self._starts.values():
            variable.assign(value)

    def note(self, model: Model, optimizer: Optimizer, *, before: int) -> None:
        """Note what a new model shares: whatever was made before its building began (`before`).

        Raises InvalidValue for what would train on from one trial to the next.
        """
        if model is self._last_model():
            got = f"the same {type(model).__name__} twice"
            _refuse(got, "a function that makes a new model at every call")
        self._last_model = ref(model)
        if created_at(optimizer.iterations) < before:
            got = f"a model compiled with an {type(optimizer).__name__} that was made outside it"
            _refuse(got, "a function that makes a new optimizer at every call")
        for variable in model.variables:
            if created_at(variable) < before and id(variable) not in self._starts:
                self._note_variable(variable)

    def _note_variable(self, variable: Variable) -> None:
        # An earlier call of build_model made the variable, and a trial may have trained
        # it.
        if created_at(variable) >= self._since:
            _refuse(
                f"a layer that is kept from one call to the next ({variable.path})",
                "a function that makes its layers, or takes built ones from the top of the file",
            )
        self._starts[id(variable)] = (variable, ops.convert_to_numpy(variable))

    def figures(self) -> list[Json]:
        """Summarize the start values, so that workers can compare theirs."""
        values = [
            value for _, value in list(self._starts.values())[:_DESCRIBED] if value.size
        ]
        return [[float(np.mean(each)), float(np.ravel(each)[0])] for each in values]


_known: WeakKeyDictionary[Any, SharedLayers] = WeakKeyDictionary()


def shared_layers(build_model: Any) -> SharedLayers:
    """What the models of this function are known to share."""
    try:
        return _known.setdefault(build_model, SharedLayers())
    except TypeError:  # weak references to this callable are impossible
        return SharedLayers()


def forget_shared_layers(build_model: Any) -> None:
    """Begin anew: what a notebook changed since the last search is a new start value."""
    with suppress(TypeError):
        _known.pop(build_model, None)


def are_alike(stored: list[Json], here: list[Json]) -> bool:
    """Whether two workers' shared layers begin with the same values."""
    return len(stored) == len(here) and bool(
        np.allclose(stored, here, rtol=_TOLERANCE, atol=_TOLERANCE**2)
    )


def _refuse(got: str, allowed: str) -> None:
    raise InvalidValue("build_model", got=got, allowed=allowed, fix=_FIX)
