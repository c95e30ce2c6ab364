"""Optimizers over many trials at once: Keras' own `update_step` on a matrix with a row for each
trial.

A family is one structure of an optimizer: its class, and which of its terms are there at all. Its
rows differ in rate, counter and hyperparameters, which reach `update_step` as columns. What
`update_step` leaves out (clipping, decoupled decay with its exclusions, accumulation, moving
averages, Nadam's product) is done here by row. Nothing is assigned: Keras' StatelessScope turns the
optimizer's assignments into values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lrsearch.engine import _keras
from lrsearch.values import Setting

State = dict[str, Any]
"""One family's rows, by the name of the optimizer's attribute: (rows, 1) for counters, (rows, parameters) for slots."""

COLUMNS = (
    "momentum",
    "beta_1",
    "beta_2",
    "epsilon",
    "rho",
    "weight_decay",
    "l1_regularization_strength",
    "l2_regularization_strength",
)
"""Hyperparameters that may differ between the rows of a family."""

_COUNTER = "_iterations"
_AVERAGE = "_model_variables_moving_average"
_ACCUMULATED = "_accumulated_gradients"


class Column:
    """A Python float that differs by row.

    Arithmetic with Python numbers stays in float64, as it does for a float: `1 - 0.999` in float32
    is off by 5e-5.
    """

    def __init__(self, values: Any, dtype: str) -> None:
        self._values, self.dtype = values, dtype

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.cast(self._values, dtype or self.dtype, name=name)

    def _with(self, other: Any, rule: Callable[[Any, float], Any]) -> Any:
        return (
            Column(rule(self._values, other), self.dtype)
            if isinstance(other, int | float)
            else NotImplemented
        )

    def __add__(self, other: Any) -> Any:
        return self._with(other, lambda mine, number: mine + number)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        return self._with(other, lambda mine, number: mine * number)

    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda mine, number: number - mine)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda mine, number: mine - number)

    def __neg__(self) -> Any:
        return Column(-self._values, self.dtype)

    # Asked of a momentum, to learn whether there is one at all: a family's rows agree on that.
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
    # a slot's first value, by the hyperparameter that says it
    begins_at: Mapping[str, str] = field(default_factory=dict)
    # slots whose `.value` `update_step` keeps, and which TensorFlow changes under its hands
    references: tuple[str, ...] = ()
    # what the optimizer does once an update, before the first `update_step`
    before: Callable[[Any], None] | None = None


def _nadams_product(optimizer: Any) -> None:
    """As Nadam's own `_backend_update_step` does it, which cannot be called: it goes through
    tf.distribute.
    """
    product = optimizer._u_product  # noqa: SLF001
    step = ops.cast(optimizer.iterations + 1, product.dtype)
    optimizer.assign(product, product * optimizer.beta_1 * (1.0 - 0.5 * ops.power(0.96, step)))


ADAPTERS: dict[str, Adapter] = {
    "SGD": Adapter(),
    "Adagrad": Adapter(begins_at={"_accumulators": "initial_accumulator_value"}),
    "RMSprop": Adapter(),
    "Adam": Adapter(),
    "AdamW": Adapter(),
    "Nadam": Adapter(before=_nadams_product),
    "Adamax": Adapter(),
    "Adadelta": Adapter(),
    "Ftrl": Adapter(),
    "Lion": Adapter(),
    # Its `momentum_old` is a TensorFlow variable and no copy, so that Keras uses the new momentum
    # in its place.
    "ScheduleFreeAdamW": Adapter(begins_as_weights=("_momentums",), references=("_momentums",)),
}
"""Every elementwise optimizer of the table. Lamb, Adafactor and Muon look at whole matrices and train alone."""


class _Reference:
    """A slot as TensorFlow's backend has it: its `value` is the variable itself, whatever is
    assigned later.
    """

    def __init__(self, cell: Any) -> None:
        self.value = cell

    @property
    def dtype(self) -> str:
        return str(self.value.dtype)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.convert_to_tensor(self.value.value, dtype, name=name)

    def __sub__(self, other: Any) -> Any:
        return self.value - other


class _ByValue:
    """Mixed into a Keras optimizer: what it assigns goes to a scope, whatever the number of rows."""

    scope: Any = None

    def assign(self, variable: Any, value: Any) -> None:
        cell = variable.value if isinstance(variable, _Reference) else variable
        if self.scope is None:  # while it is built
            cell.assign(value)
        else:
            self.scope.add_update((cell, tf.cast(value, cell.dtype)))

    def assign_add(self, variable: Any, value: Any) -> None:
        self.assign(variable, variable + value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        self.assign(variable, variable - value)

    def _var_key(self, variable: Any) -> int:
        return id(variable)


class Family:
    """See the module.

    `optimizer` is a built Keras optimizer of the model: the family's pattern, never trained.
    """

    def __init__(self, optimizer: Any, trainable: Sequence[Any], varying: Sequence[str]) -> None:
        self.pattern, self.varying = optimizer, tuple(varying)
        self.sizes = [math.prod(each.shape) for each in trainable]
        self.adapter = ADAPTERS[type(optimizer).__name__]
        # Two rows, however many there will be: Keras' `add` takes what has one row in its shape for
        # a bias.
        self.variable = keras.Variable(
            np.zeros((2, sum(self.sizes))), dtype=trainable[0].dtype, name="rows"
        )
        self.rule = _by_value(optimizer)
        self.rule.build([self.variable])
        # attribute -> the variable that stands for its rows
        self.cells = _cells(self.rule, self.variable)
        for name in self.adapter.references:
            getattr(self.rule, name)[0] = _Reference(self.cells[name])
        kept = [optimizer._use_weight_decay(each.value) for each in trainable]  # noqa: SLF001
        self._decayed = None if all(kept) else np.repeat(kept, self.sizes)[None, :]

    @property
    def dtype(self) -> str:
        return str(self.variable.dtype)

    def columns(self, name: str) -> int:
        """How wide a row of this cell is: the parameters, or 1 for a counter."""
        return int(self.cells[name].shape[1]) if len(self.cells[name].shape) else 1

    def begin(self, setting: Setting, weights: np.ndarray) -> State:
        """One new row's state: `weights` is (1, parameters)."""
        state: State = {}
        for name, cell in self.cells.items():
            shape = (1, self.columns(name))
            first = setting.hyper.get(self.adapter.begins_at.get(name, ""), cell.numpy().flat[0])
            copied = name in self.adapter.begins_as_weights
            kind = cell.numpy().dtype
            # Through float32, as Keras' Constant initializer goes.
            state[name] = (
                weights
                if copied
                else np.full(shape, np.float32(first) if kind.kind == "f" else first, kind)
            )
        return state

    def hyper(self, optimizers: Sequence[Any]) -> np.ndarray:
        """The rows' hyperparameters, float64 (rows, varying), read off the optimizers that their
        settings make.
        """
        rows = [[float(getattr(each, name)) for name in self.varying] for each in optimizers]
        return np.array(rows, np.float64).reshape(len(optimizers), len(self.varying))

    def update(
        self, weights: Any, state: State, gradient: Any, rate: Any, hyper: Any
    ) -> tuple[Any, State]:
        """One batch's gradient applied: `weights` and `gradient` (rows, parameters), `rate` (rows,
        1) -> weights and state.
        """
        rule = self.rule
        rule.scope = scope = keras.StatelessScope()
        for name, cell in self.cells.items():
            scope.add_update((cell, state[name]))
        scope.add_update((self.variable, weights))
        with scope, self._columns(hyper):
            if rule.gradient_accumulation_steps:
                self._accumulated_update(scope, gradient, rate)
            else:
                self._apply(gradient, rate)
            if rule.use_ema:
                self._average()
        new = {name: scope.get_current_value(cell) for name, cell in self.cells.items()}
        new[_COUNTER] = new[_COUNTER] + 1
        return scope.get_current_value(self.variable), new

    def _apply(self, gradient: Any, rate: Any) -> None:
        """Clip, decay, update: the order of Keras' `_backend_apply_gradients`."""
        rule, variable = self.rule, self.variable
        gradient = self._clip(gradient)
        if rule.weight_decay is not None:
            # Never multiplied out: Keras computes (weights * decay) * rate.
            decay = variable * ops.cast(rule.weight_decay, variable.dtype) * rate
            rule.assign(
                variable,
                variable
                - (decay if self._decayed is None else tf.where(self._decayed, decay, 0.0)),
            )
        if self.adapter.before is not None:
            self.adapter.before(rule)
        rule.update_step(gradient, variable, rate)

    def _accumulated_update(self, scope: Any, gradient: Any, rate: Any) -> None:
        """Every k-th batch of a row updates it with the mean gradient; the others only add theirs."""
        rule, cells = self.rule, self.cells
        steps = rule.gradient_accumulation_steps
        before = {name: scope.get_current_value(cell) for name, cell in cells.items()}
        weights, total = self.variable.value, before[_ACCUMULATED] + gradient
        due = (before[_COUNTER] + 1) % steps == 0  # (rows, 1)
        self._apply(total / steps, rate)
        rule.assign(self.variable, tf.where(due, self.variable.value, weights))
        for name, cell in cells.items():
            if name == _ACCUMULATED:
                rule.assign(cell, tf.where(due, tf.zeros_like(total), total))
            elif name not in {_COUNTER, _AVERAGE}:
                rule.assign(cell, tf.where(due, cell.value, before[name]))

    def _clip(self, gradient: Any) -> Any:
        rule = self.rule
        if rule.clipnorm:
            parts = tf.split(gradient, self.sizes, axis=1)
            return tf.concat([rule._clip_by_norm(each, axes=1) for each in parts], axis=1)  # noqa: SLF001
        if rule.global_clipnorm:
            norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=1, keepdims=True))
            scale = rule.global_clipnorm * tf.minimum(1.0 / norm, 1.0 / rule.global_clipnorm)
            return gradient * (scale + (norm - norm))  # an infinite norm gives NaN, as Keras has it
        return (
            tf.clip_by_value(gradient, -rule.clipvalue, rule.clipvalue)
            if rule.clipvalue
            else gradient
        )

    def _average(self) -> None:
        """Keras' moving average of the weights, and their replacement by it every so many batches."""
        rule, variable = self.rule, self.variable
        average = self.cells[_AVERAGE]
        momentum = ops.cast(ops.not_equal(rule.iterations, 0), variable.dtype) * rule.ema_momentum
        rule.assign(average, momentum * average + (1 - momentum) * variable)
        if rule.ema_overwrite_frequency:
            due = (rule.iterations + 1) % rule.ema_overwrite_frequency == 0
            rule.assign(variable, tf.where(due, average.value, variable.value))

    @contextmanager
    def _columns(self, hyper: Any) -> Iterator[None]:
        """The optimizer's hyperparameters replaced by columns while it is traced."""
        kept = {name: getattr(self.rule, name) for name in self.varying}
        for place, name in enumerate(self.varying):
            setattr(self.rule, name, Column(hyper[:, place : place + 1], self.dtype))
        try:
            yield
        finally:
            for name, value in kept.items():
                setattr(self.rule, name, value)

    def evaluated(self, weights: Any, state: State, hyper: Any) -> Any:
        """The weights that the rows are evaluated at: their averages where the method has them."""
        if type(self.pattern).__name__ != "ScheduleFreeAdamW":
            return weights
        place = self.varying.index("beta_1") if "beta_1" in self.varying else None
        beta = (
            self.rule.beta_1
            if place is None
            else tf.cast(hyper[:, place : place + 1], weights.dtype)
        )
        return (weights - (1 - beta) * state["_momentums"]) / beta

    def finalized(self, weights: Any, state: State) -> Any:
        """The weights after the last epoch: their moving average where the optimizer keeps one."""
        return state[_AVERAGE] if self.rule.use_ema else weights

    def snapshot(self, state: State) -> dict[int, np.ndarray]:
        """One row's state by the place that each variable has among the model's optimizer's own."""
        found = {}
        for place, (name, index) in self._places():
            row = np.asarray(state[name])[0]
            if index is None:
                found[place] = row[0]
            else:
                begin = sum(self.sizes[:index])
                found[place] = row[begin : begin + self.sizes[index]].reshape(
                    self._trainable_shape(place)
                )
        return found

    def restored(self, arrays: Mapping[int, np.ndarray]) -> State:
        """The other way: a row's state from the optimizer's variables."""
        parts: dict[str, list[np.ndarray]] = {}
        for place, (name, _) in self._places():
            parts.setdefault(name, []).append(np.asarray(arrays[place]).reshape(1, -1))
        return {
            name: np.concatenate(parts[name], axis=1).astype(cell.numpy().dtype)
            for name, cell in self.cells.items()
        }

    def _places(self) -> list[tuple[int, tuple[str, int | None]]]:
        """For each variable of the pattern's state: the attribute that holds it, and its place
        there (None for a scalar).
        """
        held: dict[int, tuple[str, int | None]] = {}
        for name in self.cells:
            value = getattr(self.pattern, name)
            if isinstance(value, keras.Variable):
                held[id(value)] = (name, None)
            else:
                held |= {id(each): (name, index) for index, each in enumerate(value)}
        return [
            (place, held[id(each)])
            for place, each in enumerate(_keras.optimizer_state(self.pattern))
        ]

    def _trainable_shape(self, place: int) -> tuple[int, ...]:
        return tuple(_keras.optimizer_state(self.pattern)[place].shape)


def _by_value(optimizer: Any) -> Any:
    """A copy of `optimizer`, unbuilt, whose assignments a StatelessScope catches."""
    kind = type(optimizer)
    config = optimizer.get_config()
    made = type(kind.__name__, (_ByValue, kind), {})
    return made(**{name: value for name, value in config.items() if name != "name"})


def _cells(rule: Any, variable: Any) -> dict[str, Any]:
    """The optimizer's variables by attribute, but for its rate: counters, and the slots of the one
    variable it was built on.
    """
    found: dict[str, Any] = {}
    for name, value in vars(rule).items():
        if name in {"_learning_rate", "_variables", "_trainable_variables"}:
            continue
        cell = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        if isinstance(cell, keras.Variable) and cell is not variable:
            found[name] = cell
    return found
