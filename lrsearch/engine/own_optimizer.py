"""Captures the user's own optimizer as JSON, from which an export writes the code that makes it.

What is captured is built once more and compared, so that an export never differs from what was
trained.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras
import numpy as np

from lrsearch.engine._keras_optimizer import inner, rate_of, scaling_of
from lrsearch.space import code_of
from lrsearch.values import Json

_HOMES = {
    "keras.optimizers": keras.optimizers,
    "keras.optimizers.schedules": keras.optimizers.schedules,
}
_LOOKS = 20  # at a schedule
_SCHEDULE = keras.optimizers.schedules.LearningRateSchedule


class CannotWrite(Exception):
    """The text says why an object cannot be written as code."""


def own_optimizer(model: Any, *, steps: int) -> dict[str, Json]:
    """The compiled model's own optimizer, as JSON.

    It has a `call`, or the `reason` why there is none; its `accumulation`, whether it `decays`
    weights, and the `scaling` of its loss. The call is of the optimizer inside its loss scaling;
    its schedule is asked for the rates of `steps` batches, as Keras counts. What it leaves out of
    weight decay is no part of its configuration.
    """
    optimizer = inner(model.optimizer)
    accumulation = int(optimizer.gradient_accumulation_steps or 1)
    found: dict[str, Json] = {"accumulation": accumulation, "decays": bool(optimizer.weight_decay)}
    if optimizer is not model.optimizer:
        found["scaling"] = scaling_of(model.optimizer)
    try:
        # as it comes back from the database
        call = json.loads(json.dumps(_call_of(optimizer), allow_nan=False))
        _check_again(call, optimizer, steps)
    except CannotWrite as error:
        return found | {"reason": str(error)}
    except Exception as error:  # noqa: BLE001 - get_config and from_config may be the user's own
        first = str(error).splitlines()[0] if str(error) else "no message"
        return found | {"reason": f"{type(error).__name__}: {first.rstrip('.')}"}
    return found | {"call": call}


def _call_of(thing: Any) -> dict[str, Json]:
    """An optimizer or schedule as a call. Raises CannotWrite."""
    kind = type(thing)
    homes = (
        path for path, module in _HOMES.items() if getattr(module, kind.__name__, None) is kind
    )
    if (home := next(homes, None)) is None:
        return {"registered": _serialized(thing)}
    given = {name: value for name, value in thing.get_config().items() if name != "name"}
    if "learning_rate" in given:
        given["learning_rate"] = _rate_of(thing)
    parameters = inspect.signature(kind.__init__).parameters
    kept = {}
    for name, value in given.items():
        plain = _plain(name, value)
        known = name in parameters and plain == parameters[name].default
        if name == "learning_rate" or not known:
            kept[name] = plain
    return {"class": f"{home}.{kind.__name__}", "arguments": kept}


def _serialized(thing: Any) -> Json:
    kind = type(thing)
    if ">" not in keras.saving.get_registered_name(kind):
        raise CannotWrite(
            f"{kind.__name__} is no class of Keras' own and not registered with it "
            "(decorate it with @keras.saving.register_keras_serializable())"
        )
    return keras.saving.serialize_keras_object(thing)


def _rate_of(optimizer: Any) -> Json:
    rate = rate_of(optimizer)
    if isinstance(rate, _SCHEDULE):
        return _call_of(rate)
    if callable(rate) and not isinstance(rate, keras.Variable):
        raise CannotWrite(
            "its learning rate is a function; a LearningRateSchedule has a configuration"
        )
    number = np.asarray(keras.ops.convert_to_numpy(rate))
    # the shortest that rounds to it
    return float(str(number.item() if number.dtype == np.float64 else np.float32(number)))


def _plain(name: str, value: Any) -> Json:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, dict) and ({"class", "registered"} & set(value)):
        return value  # a rate, as _rate_of gives it
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise CannotWrite(f"its {name} is {value!r}, which is no plain number, text or list")


def _check_again(call: Json, optimizer: Any, steps: int) -> None:
    """Make the object once more from the very code of an export.

    Raises CannotWrite where it is another one.
    """
    again = eval(code_of(call), {"keras": keras})  # noqa: S307 - our own text, of checked values
    if _compared(again) != _compared(optimizer) or _rates(again, steps) != _rates(optimizer, steps):
        raise CannotWrite(
            f"its configuration does not make the same {type(optimizer).__name__} again"
        )


def _rates(optimizer: Any, steps: int) -> list[float]:
    """A schedule's rates at some places: a configuration may lack what they follow from."""
    rate = rate_of(optimizer)
    places = np.unique(np.linspace(0, max(0, steps - 1), _LOOKS).astype(np.int64))
    return [float(rate(int(place))) for place in places] if isinstance(rate, _SCHEDULE) else []


def _compared(thing: Any) -> str:
    return json.dumps(
        _nameless(keras.saving.serialize_keras_object(thing)), sort_keys=True, default=repr
    )


def _nameless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nameless(each) for key, each in value.items() if key != "name"}
    if isinstance(value, list | tuple):
        return [_nameless(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
