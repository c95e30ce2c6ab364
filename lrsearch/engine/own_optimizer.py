"""Captures the user's own optimizer as JSON, from which an export writes the code that makes it.

The captured optimizer is built once more and compared, so that an export never differs from what
was trained.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras
import numpy as np

from lrsearch.engine._keras_optimizer import (
    inner,
    rate_is_function,
    rate_of,
    scaling_of,
    schedule_of,
)
from lrsearch.engine.failure import first_line
from lrsearch.engine.types import Model, Optimizer
from lrsearch.engine.yours import sample_rates
from lrsearch.space import code_of
from lrsearch.values import Json

_MODULES = {
    "keras.optimizers": keras.optimizers,
    "keras.optimizers.schedules": keras.optimizers.schedules,
}
_SAMPLES = 20  # of a schedule's rates, compared with those of the schedule that is built again


class CannotWrite(Exception):
    """The text says why an object cannot be written as code."""


def own_optimizer(model: Model, *, steps: int) -> dict[str, Json]:
    """Capture the compiled model's own optimizer as JSON.

    It has a `call`, or the `reason` why there is none; its `accumulation`, whether it `decays`
    weights, and the `scaling` of its loss. The call makes the optimizer inside its loss scaling.
    A run has `steps` batches, as Keras counts, over which schedules are compared. Variables that
    are left out of weight decay are no part of a Keras configuration.
    """
    optimizer = inner(model.optimizer)
    accumulation = int(optimizer.gradient_accumulation_steps or 1)
    record: dict[str, Json] = {"accumulation": accumulation, "decays": bool(optimizer.weight_decay)}
    if optimizer is not model.optimizer:
        record["scaling"] = scaling_of(model.optimizer)
    try:
        return record | {"call": _check_call(_stored_call(optimizer), optimizer, steps)}
    except CannotWrite as error:
        return record | {"reason": str(error)}
    except Exception as error:  # noqa: BLE001 - get_config and from_config may be the user's own
        return record | {"reason": f"{type(error).__name__}: {first_line(error).rstrip('.')}"}


def _stored_call(optimizer: Optimizer) -> Json:
    """Describe an optimizer as a call, as the database would return it. Raises CannotWrite."""
    return json.loads(json.dumps(_call_of(optimizer), allow_nan=False))


def _call_of(thing: Any) -> dict[str, Json]:
    """Describe an optimizer or schedule as a call. Raises CannotWrite."""
    kind = type(thing)
    name = kind.__name__
    home = next((path for path, home in _MODULES.items() if getattr(home, name, 0) is kind), None)
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
        if key == "learning_rate" or key not in parameters or value != parameters[key].default
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
    return float(str(number.item() if number.dtype == np.float64 else np.float32(number)))


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
    raise CannotWrite(f"its {name} is {value!r}, which is no plain number, text or list")


def _check_call(call: Json, optimizer: Optimizer, steps: int) -> Json:
    """Make the optimizer again by the very code of an export, and compare; returns the call.

    Raises CannotWrite where another optimizer comes of it.
    """
    again = eval(code_of(call), {"keras": keras})  # noqa: S307 - our own text, of checked values
    # A configuration may lack what the rates of a schedule follow from.
    rates, new_rates = (sample_rates(each, steps, _SAMPLES) for each in (optimizer, again))
    if _stored_call(again) != call or not np.array_equal(rates, new_rates):
        raise CannotWrite(
            f"its configuration does not make the same {type(optimizer).__name__} again"
        )
    return call
