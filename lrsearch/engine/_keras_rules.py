"""What each Keras optimizer needs to run its `update_step` on a matrix with a row per trial.

Private names of Keras, read in 3.15.1; the oldest version that is tested is 3.13.2.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from lrsearch.engine.types import Optimizer, Tensor, Variable

COUNTER = "_iterations"
AVERAGE = "_model_variables_moving_average"
ACCUMULATED = "_accumulated_gradients"
TRAINED = "_momentums"
"""ScheduleFreeAdamW's slot of the weights that it trains at."""


class Column:
    """A hyperparameter that differs by row, in place of Keras' Python float.

    Arithmetic with Python numbers stays in float64, as it does for a float: `1 - 0.999`
    in float32 is off by 5e-5.
    """

    def __init__(self, values: Tensor, dtype: str) -> None:
        self._values, self.dtype = values, dtype  # values: (rows, 1), float64

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.cast(self._values, dtype or self.dtype, name=name)

    def _with(self, other: Any, operation: Callable[[Any, float], Any]) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        return Column(operation(self._values, other), self.dtype)

    def __add__(self, other: Any) -> Any:
        return self._with(other, operator.add)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        return self._with(other, operator.mul)

    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda values, number: number - values)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, operator.sub)

    def __neg__(self) -> Any:
        return Column(-self._values, self.dtype)

    # Keras tests `momentum > 0`; all rows of a family have one, so the answer is True.
    def __gt__(self, other: Any) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return True

    __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """What one Keras class needs beside its `update_step`."""

    begins_as_weights: tuple[str, ...] = ()  # slots that begin as copies of the weights
    # By slot, the hyperparameter that is the slot's first value.
    begins_at: Mapping[str, str] = field(default_factory=dict)
    # Slots whose `.value` `update_step` reads once, before it assigns another value to
    # the slot.
    references: tuple[str, ...] = ()
    # What the optimizer does once per update, before the first `update_step`.
    before: Callable[[Optimizer], None] | None = None


def _advance_product(optimizer: Optimizer) -> None:
    """Advance Nadam's product of momenta, as its own `_backend_update_step` does.

    That method goes through tf.distribute, so it cannot be called here.
    """
    product = optimizer._u_product
    step = ops.cast(optimizer.iterations + 1, product.dtype)
    optimizer.assign(
        product, product * optimizer.beta_1 * (1.0 - 0.5 * ops.power(0.96, step))
    )


ADAPTERS: dict[str, Adapter] = {
    "SGD": Adapter(),
    "Adagrad": Adapter(begins_at={"_accumulators": "initial_accumulator_value"}),
    "RMSprop": Adapter(),
    "Adam": Adapter(),
    "AdamW": Adapter(),
    "Nadam": Adapter(before=_advance_product),
    "Adamax": Adapter(),
    "Adadelta": Adapter(),
    "Ftrl": Adapter(),
    "Lion": Adapter(),
    # Keras' `momentum_old` is a TensorFlow variable and no copy, so `update_step` uses
    # the new momentum in its place.
    "ScheduleFreeAdamW": Adapter(begins_as_weights=(TRAINED,), references=(TRAINED,)),
}
"""Every optimizer that works element by element, by Keras class.

Lamb, Adafactor and Muon look at whole matrices, so they train one at a time.
"""


class _Reference:
    """A slot as TensorFlow's backend has it: its `value` is the variable and changes with it."""

    def __init__(self, cell: Variable) -> None:
        self.value = cell

    @property
    def dtype(self) -> str:
        return str(self.value.dtype)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.convert_to_tensor(self.value.value, dtype, name=name)

    def __sub__(self, other: Any) -> Any:
        return self.value - other


class _ByValue:
    """Mixed into a Keras optimizer: its assignments go to a scope, with any number of rows."""

    scope: keras.StatelessScope | None = None

    def assign(self, variable: Any, value: Any) -> None:
        cell = variable.value if isinstance(variable, _Reference) else variable
        if self.scope is None:  # while the optimizer is built
            cell.assign(value)
        else:
            self.scope.add_update((cell, tf.cast(value, cell.dtype)))

    def assign_add(self, variable: Any, value: Any) -> None:
        self.assign(variable, variable + value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        self.assign(variable, variable - value)

    def _var_key(self, variable: Any) -> int:
        return id(variable)


def copy_by_value(optimizer: Optimizer) -> Optimizer:
    """Make an unbuilt copy of `optimizer` whose assignments a StatelessScope catches."""
    kind = type(optimizer)
    config = {
        name: value for name, value in optimizer.get_config().items() if name != "name"
    }
    return type(kind.__name__, (_ByValue, kind), {})(**config)


def build_cells(rule: Optimizer, variable: Variable) -> dict[str, Variable]:
    """Build a copy of `copy_by_value` on one variable; returns its own variables by attribute.

    They are counters and the slots of `variable`; the rate is none of them.
    """
    rule.build([variable])
    cells: dict[str, Variable] = {}
    for name, value in vars(rule).items():
        if name in {"_learning_rate", "_variables", "_trainable_variables"}:
            continue
        cell = (
            value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        )
        if isinstance(cell, keras.Variable) and cell is not variable:
            cells[name] = cell
    for name in ADAPTERS[type(rule).__name__].references:
        getattr(rule, name)[0] = _Reference(cells[name])
    return cells


def decays(optimizer: Optimizer, variable: Variable) -> bool:
    """Whether the optimizer's weight decay touches this variable."""
    return bool(optimizer._use_weight_decay(variable.value))


def clip_by_norm(optimizer: Optimizer, gradient: Tensor) -> Tensor:
    """Clip each row of a gradient, (rows, parameters), by its norm, as the optimizer does."""
    return optimizer._clip_by_norm(gradient, axes=1)
