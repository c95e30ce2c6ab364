"""What the fields of a search space may hold.

Each check raises InvalidValue, which says what is allowed, or UnknownName.

A check that may change the value, such as a list into a tuple, returns the value as it
is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.space.axis import AXIS
from lrsearch.space.dimensions import Range, is_number
from lrsearch.space.knobs import Knob
from lrsearch.space.optimizers import OPTIMIZERS

# decay rates of averages; the other knobs have no upper end
_BELOW_ONE = frozenset({"beta_1", "beta_2", "rho", "momentum"})


def check_names(field_name: str, given: Any) -> tuple[str, ...]:
    """Names that differ, at least one."""
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise InvalidValue(
            field_name, got=given, allowed="a list of names, at least one"
        )
    if len(set(given)) != len(given):
        raise InvalidValue(field_name, got=list(given), allowed="names that differ")
    return tuple(given)


def check_pair(field_name: str, given: Any) -> Range:
    """Two finite numbers, the lower first."""
    try:
        low, high = (float(each) for each in given)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidValue(
            field_name, got=given, allowed="a pair (low, high) with low below high"
        )
    return low, high


def check_fraction(name: str, given: Any, limit: float) -> float | Range:
    """A fraction, or a pair of them."""
    checked = check_pair(name, given) if isinstance(given, tuple | list) else given
    numbers = checked if isinstance(checked, tuple) else (checked,)
    if not all(
        isinstance(each, int | float)
        and not isinstance(each, bool)
        and 0 <= each <= limit
        for each in numbers
    ):
        raise InvalidValue(
            name,
            got=given,
            allowed=f"a fraction from 0 to {limit:g}, or a pair of them",
        )
    return checked if isinstance(checked, tuple) else float(checked)


def check_batch_sizes(given: Any) -> tuple[int | None, ...] | None:
    """One or several sizes that differ; None where nothing was said."""
    if given is None:
        return None
    sizes = tuple(given) if isinstance(given, Sequence) else (given,)
    for size in sizes:
        if size is not None and (
            not isinstance(size, int) or isinstance(size, bool) or size < 1
        ):
            raise InvalidValue(
                "batch_size", got=given, allowed="whole numbers of at least 1"
            )
    if not sizes or len(set(sizes)) != len(sizes):
        raise InvalidValue(
            "batch_size", got=given, allowed="sizes that differ, at least one"
        )
    return sizes


def check_rates(
    given: Any, optimizers: Sequence[str]
) -> Range | dict[str, Range] | None:
    """A range of peak rates, or one by optimizer, within the search's axis and Keras' clamp."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        pair = check_pair("learning_rate", given)
        for name in optimizers:
            _check_rate(name, pair)
        return pair
    for name in given:
        if name not in optimizers:
            raise UnknownName("optimizer in learning_rate", got=name, known=optimizers)
    pairs = {
        name: check_pair(f"learning_rate[{name!r}]", pair)
        for name, pair in given.items()
    }
    for name, pair in pairs.items():
        _check_rate(name, pair)
    return pairs


def _check_rate(optimizer: str, pair: Range) -> None:
    spec = OPTIMIZERS[optimizer]
    lowest, highest = AXIS[0] * spec.reference, AXIS[1] * spec.reference
    if pair[0] < lowest or pair[1] > highest:
        allowed = f"within {lowest:g} to {highest:g} for {optimizer}"
        raise InvalidValue("learning_rate", got=pair, allowed=allowed)
    if pair[1] > spec.clamp:
        fix = (
            f"Keras takes no more than 1/sqrt(update) with {optimizer}: "
            "rates above it are all the same."
        )
        raise InvalidValue(
            "learning_rate", got=pair, allowed=f"at most {spec.clamp:g}", fix=fix
        )


def check_hyper(
    hyper: Mapping[str, Mapping[str, Any]], optimizers: Sequence[str]
) -> None:
    """Hyperparameters by optimizer: known ones, and one kind of weight decay."""
    for optimizer, knobs in hyper.items():
        if optimizer not in optimizers:
            raise UnknownName("optimizer in hyper", got=optimizer, known=optimizers)
        known = OPTIMIZERS[optimizer].hyper
        if {"weight_decay", "independent_weight_decay"} <= set(knobs):
            raise InvalidValue(
                f"hyper[{optimizer!r}]",
                got=sorted(knobs),
                allowed="one kind of weight decay",
                fix="Choose one: weight_decay is multiplied by the learning rate, "
                "the other is not.",
            )
        for name, value in knobs.items():
            if name not in known:
                raise UnknownName(
                    f"hyperparameter of {optimizer}", got=name, known=known
                )
            check_knob(f"hyper[{optimizer!r}][{name!r}]", name, known[name], value)


def check_knob(field_name: str, name: str, knob: Knob, value: Any) -> None:
    """A hyperparameter: one number, or a range of them, in which Keras can train."""
    pair = (value, value) if is_number(value) else check_pair(field_name, value)
    if pair[0] < 0 or (name in _BELOW_ONE and pair[1] >= 1):
        raise InvalidValue(
            field_name,
            got=value,
            allowed="from 0 to below 1" if name in _BELOW_ONE else "at least 0",
        )
    if knob.log and not is_number(value) and pair[0] == 0:
        allowed = "a range that begins above 0, since it is searched on a log axis"
        raise InvalidValue(
            field_name,
            got=value,
            allowed=allowed,
            fix=f"Begin it at {knob.low:g}, or fix it at 0.",
        )


def check_choices(name: str, value: Any) -> None:
    """Choices must be plain and differ: they are stored as JSON, and compared when read again."""
    if not isinstance(value, list):
        return
    plain = all(
        each is None or isinstance(each, str | bool) or is_number(each)
        for each in value
    )
    if not plain or len({(type(each), each) for each in value}) != len(value):
        fix = "Choose by name, and map the name to its object in build_model(params)."
        raise InvalidValue(
            f"extra[{name!r}]",
            got=value,
            allowed="numbers, strings, booleans or None that differ",
            fix=fix,
        )
