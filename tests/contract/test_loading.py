"""A worker loads a study's data once, whoever inspects it; what a step of inspection
may have moved on is loaded anew.
"""

import subprocess
import sys

import keras
import pytest
import tensorflow as tf
from engine_world import BATCH, data, definition

from lrsearch.engine import LoadedStudy, inspect_study, open_study
from lrsearch.values import Direction
from lrsearch.worker._keras_extras import EXTRAS

pytestmark = pytest.mark.tensorflow

TRACING = """
import sys
from lrsearch.worker._keras_extras import defer_extras
defer_extras()
import keras, numpy, tensorflow
model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(numpy.zeros((4, 2)), numpy.zeros((4, 1)), verbose=0)
print([each for each in ("matplotlib", "sklearn", "scipy.stats") if each in sys.modules])
"""


def datasets():
    return tuple(
        tf.data.Dataset.from_tensor_slices(split).batch(BATCH) for split in data()
    )


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


def test_what_keras_imports_and_no_training_needs_is_put_off_and_still_there():
    """The suite's own processes put it off, as workers do (tests/conftest.py)."""
    assert {"keras.wrappers", "keras.visualization", "keras.src.visualization"} <= set(
        EXTRAS
    )
    assert all(each in sys.modules for each in EXTRAS[:3])
    assert (
        keras.wrappers.SKLearnClassifier.__module__
        == "keras.src.wrappers.sklearn_wrapper"
    )
    assert keras.visualization.draw_bounding_boxes.__name__ == "draw_bounding_boxes"


@pytest.mark.long
def test_a_worker_that_traces_functions_imports_neither_matplotlib_nor_scikit_learn():
    done = subprocess.run(
        [sys.executable, "-c", TRACING], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
