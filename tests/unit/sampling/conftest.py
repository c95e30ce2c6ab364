"""A small space with the sampler's view of one: enough for samplers, and free of Keras."""

from dataclasses import dataclass

import pytest

from lrsearch.values import Kind, Origin, Setting, TrialRecord, TrialState

REFERENCE = {"sgd": 0.1, "adam": 1e-3}


@dataclass(frozen=True, kw_only=True)
class Axis:
    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple = ()


class SmallSpace:
    def dimensions(self):
        return (
            Axis(name="optimizer", kind="categorical", choices=tuple(REFERENCE)),
            Axis(name="lr_over_reference", kind="float", low=1e-3, high=1e2, log=True),
            Axis(name="warmup", kind="float", low=0.0, high=0.2),
            Axis(name="units", kind="int", low=1, high=8),
        )

    def setting_from(self, params):
        rate = params["lr_over_reference"] * REFERENCE[params["optimizer"]]
        return Setting(
            optimizer=params["optimizer"],
            learning_rate=rate,
            schedule="linear",
            batch_size=32,
            shape={"warmup": params["warmup"]},
            extra={"units": params["units"]},
        )

    def params_of(self, setting):
        return {
            "optimizer": setting.optimizer,
            "lr_over_reference": setting.learning_rate / REFERENCE[setting.optimizer],
            "warmup": setting.shape["warmup"],
            "units": setting.extra["units"],
        }


@pytest.fixture
def space():
    return SmallSpace()


@pytest.fixture
def record(space):
    """Makes a search trial's record: record(number, state, over_reference, value)."""

    def make(number, state=TrialState.COMPLETE, over=1.0, value=None, **more):
        params = {"optimizer": "adam", "lr_over_reference": over, "warmup": 0.1, "units": 4}
        fields = {
            "id": number + 100,
            "kind": Kind.SEARCH,
            "origin": Origin.SAMPLED,
            "seed": 0,
            "setting": space.setting_from(params),
        }
        return TrialRecord(**{**fields, "number": number, "state": state, "value": value, **more})

    return make
