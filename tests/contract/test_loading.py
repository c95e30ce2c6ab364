"""A worker loads a study's data once, whoever inspects it; what a step of inspection may have moved
on is loaded anew.
"""

import pytest
import tensorflow as tf
from engine_world import BATCH, data, definition

from lrsearch.engine import LoadedStudy, inspect_study, open_study
from lrsearch.values import Direction

pytestmark = pytest.mark.tensorflow


def datasets():
    return tuple(tf.data.Dataset.from_tensor_slices(split).batch(BATCH) for split in data())


@pytest.mark.parametrize(("load", "times"), [(data, 1), (datasets, 2)])
def test_what_was_inspected_is_trained(load, times):
    calls = []

    def counted():
        calls.append(1)
        return load()

    study = definition(
        direction=None, load_data=counted, batch_size=BATCH if load is data else None
    )
    loaded = LoadedStudy(definition=study)
    facts = inspect_study(study, loaded=loaded)
    opened = open_study(study, loaded=loaded, facts=facts)
    assert len(calls) == times
    assert (opened is loaded) == (times == 1)
    assert opened.direction is Direction.MINIMIZE
