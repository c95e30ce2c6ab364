"""A small space and records of its trials: enough for samplers, and free of Keras."""

from dataclasses import replace

import pytest

from lrsearch.space import SearchSpace
from lrsearch.values import Kind, Origin, TrialRecord, TrialState


@pytest.fixture
def space():
    return SearchSpace(
        optimizers=["sgd", "adam"],
        schedules=["constant"],
        warmup=(0.0, 0.2),
        final=0.0,
        batch_size=32,
        extra={"units": (1, 8)},
    )


@pytest.fixture
def record(space):
    """Makes a search trial's record: record(number, state, over_reference, value)."""

    def make(
        number,
        state=TrialState.COMPLETE,
        over=1.0,
        value=None,
        optimizer="adam",
        **more,
    ):
        params = {
            "optimizer": optimizer,
            "schedule": "constant",
            "warmup": 0.1,
            "units": 4,
        }
        setting = space.setting_without_rate(params)
        fields = {
            "id": number + 100,
            "kind": Kind.SEARCH,
            "origin": Origin.SAMPLED,
            "seed": 0,
            "setting": replace(setting, learning_rate=over * space.unit_rate(setting)),
        }
        return TrialRecord(
            **{**fields, "number": number, "state": state, "value": value, **more}
        )

    return make
