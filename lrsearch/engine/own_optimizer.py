"""The user's own optimizer: as a setting, for people, and as a call, for exports.

An export writes code from the call. The call's optimizer is built once more and
compared, so that an export never differs from what was trained.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras
import numpy as np

from lrsearch.engine._keras_optimizer import (
    current_rate,
    inner,
    rate_is_function,
    rate_of,
    scaling_of,
    schedule_of,
)
from lrsearch.engine.failure import first_line
from lrsearch.engine.types import Model, Optimizer
from lrsearch.errors import InvalidValue
from lrsearch.keras import Schedule
from lrsearch.space import OPTIMIZERS, code_of
from lrsearch.values import Json, Setting

_MODULES = {
    "keras.optimizers": keras.optimizers,
    "keras.optimizers.schedules": keras.optimizers.schedules,
}
_SCHEDULES = {
    "CosineDecay": "cosine",
    "CosineDecayRestarts": "cosine_restarts",
    "ExponentialDecay": "exponential",
    "InverseTimeDecay": "inverse_time",
    "PiecewiseConstantDecay": "step",
    "PolynomialDecay": "polynomial",
}
_DRAWN = 200  # rates for a picture: six pixels apart in one of 1,200
_COMPARED = 20  # rates of a schedule that is built again


# -- a setting -------------------------------------------------------------------------


def describe(
    optimizer: Optimizer, *, rates: np.ndarray, batch_size: int | None
) -> Setting:
    """Describe the user's compile as a setting: optimizer, largest rate over the run, schedule.

    Optimizer and schedule have their names in our tables, else those of their classes.
    `rates` are those of `sample_rates`. Raises InvalidValue where none of them is a
    number.
    """
    known = {
        name: getattr(optimizer, name, None) for name in ("momentum", "weight_decay")
    }
    return Setting(
        optimizer=optimizer_name(optimizer),
        learning_rate=_largest(rates),
        schedule=_schedule_name(optimizer),
        batch_size=batch_size,
        hyper={
            name: float(each)
            for name, each in known.items()
            if isinstance(each, int | float)
        },
    )


def optimizer_name(optimizer: Optimizer) -> str:
    """Name the optimizer as our table does, else by its class."""
    kind = type(optimizer).__name__
    if kind == "SGD":
        momentum = float(optimizer.momentum or 0.0)
        return (
            "sgd" if momentum == 0 else "nesterov" if optimizer.nesterov else "momentum"
        )
    return next((name for name, spec in OPTIMIZERS.items() if spec.keras == kind), kind)


def _schedule_name(optimizer: Optimizer) -> str:
    schedule = schedule_of(optimizer)
    if schedule is None:
        return "constant"  # a function counts as the rate that it returns now
    if isinstance(schedule, Schedule):
        return schedule.setting.schedule
    kind = type(schedule).__name__
    return _SCHEDULES.get(kind, kind)


def _largest(rates: np.ndarray) -> float:
    """The largest rate that is a number. Raises InvalidValue where none is."""
    known = rates[np.isfinite(rates)]
    if not len(known):
        got, allowed = "NaN or infinite at every update", "a number"
        fix = "Give the optimizer of build_model another rate or schedule."
        raise InvalidValue(
            "the learning rate of your compile", got=got, allowed=allowed, fix=fix
        )
    return float(known.max())


def sample_rates(optimizer: Optimizer, steps: int, most: int = 1000) -> np.ndarray:
    """Sample the rate at evenly spread ones of `steps` calls of the schedule.

    Returns at most (most,), float64; (1,) without a schedule.
    """
    schedule = schedule_of(optimizer)
    if schedule is None:
        return np.asarray([current_rate(optimizer)])
    places = np.unique(np.linspace(0, steps - 1, min(steps, most)).astype(np.int64))
    return np.asarray([float(schedule(int(place))) for place in places])


def thin_out(rates: np.ndarray) -> tuple[float, ...] | None:
    """Keep as many of these rates as a picture needs, one where all are equal.

    None where a rate is infinite or NaN, which JSON does not have.
    """
    if not np.isfinite(rates).all():
        return None
    if np.ptp(rates) == 0:
        return (float(rates[0]),)
    places = np.linspace(0, len(rates) - 1, min(len(rates), _DRAWN)).round().astype(int)
    return tuple(float(f"{each:.6g}") for each in rates[places])


# -- a call ----------------------------------------------------------------------------


class CannotWrite(Exception):
    """The text says why an object cannot be written as code."""


def own_optimizer(model: Model, *, steps: int) -> dict[str, Json]:
    """Capture the compiled model's own optimizer as JSON.

    It has a `call`, or the `reason` why there is none; its `accumulation`, whether it
    `decays` weights, and the `scaling` of its loss. The call makes the optimizer inside
    its loss scaling. A run has `steps` batches, as Keras counts, over which schedules
    are compared. Variables that are left out of weight decay are no part of a Keras
    configuration.
    """
    optimizer = inner(model.optimizer)
    accumulation = int(optimizer.gradient_accumulation_steps or 1)
    record: dict[str, Json] = {
        "accumulation": accumulation,
        "decays": bool(optimizer.weight_decay),
    }
    if optimizer is not model.optimizer:
        record["scaling"] = scaling_of(model.optimizer)
    try:
        return record | {"call": _check_call(_stored_call(optimizer), optimizer, steps)}
    except CannotWrite as error:
        return record | {"reason": str(error)}
    except Exception as error:  # noqa: BLE001 - get_config and from_config may be the user's own
        return record | {
            "reason": f"{type(error).__name__}: {first_line(error).rstrip('.')}"
        }


def _stored_call(optimizer: Optimizer) -> Json:
    """Describe an optimizer as a call, as the database would return it. Raises CannotWrite."""
    return json.loads(json.dumps(_call_of(optimizer), allow_nan=False))


def _call_of(thing: Any) -> dict[str, Json]:
    """Describe an optimizer or schedule as a call. Raises CannotWrite."""
    kind = type(thing)
    name = kind.__name__
    home = next(
        (path for path, home in _MODULES.items() if getattr(home, name, 0) is kind),
        None,
    )
    if home is None:
        return {"registered": _serialize(thing)}
    config = {key: value for key, value in thing.get_config().items() if key != "name"}
    if "learning_rate" in config:
        config["learning_rate"] = _rate_to_json(thing)
    parameters = inspect.signature(kind.__init__).parameters
    plain = {key: _to_json(key, value) for key, value in config.items()}
    arguments = {
        key: value
        for key, value in plain.items()
        if key == "learning_rate"
        or key not in parameters
        or value != parameters[key].default
    }
    return {"class": f"{home}.{name}", "arguments": arguments}


def _serialize(thing: Any) -> Json:
    kind = type(thing)
    if ">" not in keras.saving.get_registered_name(kind):
        raise CannotWrite(
            f"{kind.__name__} is no class of Keras' own and not registered with it "
            "(decorate it with @keras.saving.register_keras_serializable())"
        )
    return keras.saving.serialize_keras_object(thing)


def _rate_to_json(optimizer: Optimizer) -> Json:
    if (schedule := schedule_of(optimizer)) is not None:
        return _call_of(schedule)
    if rate_is_function(optimizer):
        raise CannotWrite(
            "its learning rate is a function; a LearningRateSchedule has a configuration"
        )
    number = np.asarray(keras.ops.convert_to_numpy(rate_of(optimizer)))
    # The shortest number that rounds to the rate.
    return float(
        str(number.item() if number.dtype == np.float64 else np.float32(number))
    )


def _to_json(name: str, value: Any) -> Json:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return [_to_json(name, each) for each in value]
    if isinstance(value, dict) and ({"class", "registered"} & set(value)):
        return value  # a rate, from _rate_to_json
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise CannotWrite(
        f"its {name} is {value!r}, which is no plain number, text or list"
    )


def _check_call(call: Json, optimizer: Optimizer, steps: int) -> Json:
    """Make the optimizer again by the very code of an export, and compare; returns the call.

    Raises CannotWrite where another optimizer comes of it.
    """
    again = eval(code_of(call), {"keras": keras})  # noqa: S307 - our own text, of checked values
    # A configuration may lack what the rates of a schedule follow from.
    rates, new_rates = (
        sample_rates(each, steps, _COMPARED) for each in (optimizer, again)
    )
    if _stored_call(again) != call or not np.array_equal(rates, new_rates):
        raise CannotWrite(
            f"its configuration does not make the same {type(optimizer).__name__} again"
        )
    return call
