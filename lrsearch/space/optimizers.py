"""The table of optimizers: reference rates, usual rates, and what else can be searched.

Knows nothing of Keras; `build` makes the objects. Rates are those of a constant
schedule, for the study's base batch size; `axis` has the factors for other schedules,
batch sizes and momenta.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lrsearch.errors import UnknownName
from lrsearch.space.knobs import Knob
from lrsearch.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerSpec:
    """One row of the table.

    `keras` is the class in keras.optimizers, `fixed` its arguments that define the
    optimizer.
    """

    name: str
    keras: str
    reference: float
    low: float
    high: float
    hyper: Mapping[str, Knob] = field(default_factory=dict)
    fixed: Mapping[str, Json] = field(default_factory=dict)
    # the reference rate grows as (batch / base batch) ** this
    batch_exponent: float = 0.5
    clamp: float = math.inf  # Keras trains at no higher rate, whatever it is given
    # evaluated at averaged weights, which differ from those it trains
    averaged: bool = False
    # whether the best rate falls as 1 - momentum: an update is about rate / (1 -
    # momentum) long
    momentum_lengthens: bool = False

    def batch_scale(self, batch_size: int | None, base: int | None) -> float:
        """The factor from the reference rate, which holds for the batch size `base`, to another's.

        The factor is linear for plain gradients, a square root for adaptive optimizers.
        """
        return (
            (batch_size / base) ** self.batch_exponent if batch_size and base else 1.0
        )

    def momentum_scale(self, hyper: Mapping[str, float]) -> float:
        """The factor from the reference rate, at the default momentum, to that of `hyper`."""
        if not self.momentum_lengthens:
            return 1.0
        usual = self.hyper["momentum"].default
        return (1 - hyper.get("momentum", usual)) / (1 - usual)


_DECAY = Knob(default=0.0, low=1e-6, high=1e-1, log=True)
_BETA_1 = Knob(default=0.9, low=0.8, high=0.99)
_BETA_2 = Knob(default=0.999, low=0.9, high=0.9999)
_EPSILON = Knob(default=1e-7, low=1e-10, high=1e-3, log=True)
_MOMENTUM = Knob(default=0.9, low=0.5, high=0.99)
_ADAM = {"beta_1": _BETA_1, "beta_2": _BETA_2, "epsilon": _EPSILON}
# a fraction of the weights an update, whatever the peak rate (Loshchilov 2019, section
# 3)
_INDEPENDENT = Knob(default=0.0, low=1e-7, high=1e-2, log=True)
# For a setting without decay: where the argument is left out, Keras takes 0.004.
_NO_DECAY = {"weight_decay": 0.0}


def _spec(
    name: str, keras: str, reference: float, hyper: Mapping[str, Knob], **more: Json
) -> OptimizerSpec:
    if more.pop("decays", True):
        decay = hyper.get("weight_decay", _DECAY)
        hyper = {
            **hyper,
            "weight_decay": decay,
            "independent_weight_decay": _INDEPENDENT,
        }
    # Rates two decades below the reference crawl; those one and a half above it mostly
    # diverge (docs/decisions.md).
    low, high = more.pop("low", reference * 1e-2), more.pop("high", reference * 30)
    return OptimizerSpec(
        name=name,
        keras=keras,
        reference=reference,
        low=low,
        high=high,
        hyper=hyper,
        **more,
    )


OPTIMIZERS: dict[str, OptimizerSpec] = {
    each.name: each
    for each in (
        # Gradient noise falls as 1/batch: a linear rule for plain gradients (Goyal
        # 2017), a square root for normalised ones (Malladi 2022).
        _spec("sgd", "SGD", 1e-1, {}, batch_exponent=1.0),
        _spec(
            "momentum",
            "SGD",
            1e-2,
            {"momentum": _MOMENTUM},
            batch_exponent=1.0,
            momentum_lengthens=True,
        ),
        _spec(
            "nesterov",
            "SGD",
            1e-2,
            {"momentum": _MOMENTUM},
            fixed={"nesterov": True},
            batch_exponent=1.0,
            momentum_lengthens=True,
        ),
        # Keras' default of 0.001 is thirty times below what six of our problems ask
        # for.
        _spec(
            "adagrad",
            "Adagrad",
            3e-2,
            {
                "initial_accumulator_value": Knob(
                    default=0.1, low=1e-3, high=1.0, log=True
                ),
                "epsilon": _EPSILON,
            },
        ),
        _spec(
            "rmsprop",
            "RMSprop",
            1e-3,
            {
                "rho": Knob(default=0.9, low=0.8, high=0.999),
                "momentum": Knob(default=0.0, low=0.0, high=0.95),
                "epsilon": _EPSILON,
            },
            momentum_lengthens=True,
        ),
        _spec("adam", "Adam", 1e-3, _ADAM),
        _spec(
            "adamw",
            "AdamW",
            1e-3,
            {**_ADAM, "weight_decay": Knob(default=4e-3, low=1e-5, high=1.0, log=True)},
            fixed=_NO_DECAY,
        ),
        _spec("nadam", "Nadam", 1e-3, _ADAM),
        _spec("adamax", "Adamax", 2e-3, _ADAM),
        # Keras' default of 0.001 is a thousandth of the usual scale (Zeiler 2012 has no
        # rate at all: 1).
        _spec(
            "adadelta",
            "Adadelta",
            1.0,
            {
                "rho": Knob(default=0.95, low=0.8, high=0.999),
                "epsilon": _EPSILON,
            },
        ),
        _spec(
            "ftrl",
            "Ftrl",
            5e-2,
            {
                "l1_regularization_strength": Knob(
                    default=0.0, low=1e-6, high=1e-1, log=True
                ),
                "l2_regularization_strength": Knob(
                    default=0.0, low=1e-6, high=1e-1, log=True
                ),
            },
            decays=False,
        ),
        _spec(
            "lion",
            "Lion",
            1e-4,
            {
                "beta_1": _BETA_1,
                "beta_2": Knob(default=0.99, low=0.9, high=0.999),
            },
        ),
        _spec("lamb", "Lamb", 2e-3, _ADAM),
        # Keras clamps the rate to 1/sqrt(t): rates above 1 are all the same, and a rate
        # above 0.3 differs from 0.3 in the first ten updates alone.
        _spec(
            "adafactor",
            "Adafactor",
            1e-2,
            {},
            fixed={"relative_step": False},
            high=0.3,
            clamp=1.0,
        ),
        # Keras scales the update to Adam's (rms_rate=0.2), so Adam's rates suit.
        _spec(
            "muon",
            "Muon",
            1e-3,
            {"momentum": Knob(default=0.95, low=0.8, high=0.99)},
            fixed=_NO_DECAY,
        ),
        _spec(
            "schedule_free_adamw",
            "ScheduleFreeAdamW",
            2.5e-3,
            {"beta_1": _BETA_1, "beta_2": _BETA_2},
            averaged=True,
        ),
    )
}


def find_optimizer(name: str) -> OptimizerSpec:
    """The row of that name; raises UnknownName with the nearest."""
    if name not in OPTIMIZERS:
        raise UnknownName("optimizer", got=name, known=OPTIMIZERS)
    return OPTIMIZERS[name]
