"""Where memory runs out all the same, a trial is trained in another way, and its notes
say so. The errors are played: they are what TensorFlow raises.
"""

import pytest
import tensorflow as tf
from engine_world import World, definition, spec

from lrsearch.engine import auto, create_engine, limits, open_study
from lrsearch.engine.device_memory import DeviceMemory
from lrsearch.engine.graph_run import GraphRun
from lrsearch.engine.stack import Stack
from lrsearch.engine.vectorized import VectorizedEngine

pytestmark = pytest.mark.tensorflow


def run_out(monkeypatch, owner, name, times):
    """The first calls of a method raise what TensorFlow raises; returns the calls' list."""
    real, calls = getattr(owner, name), []

    def method(self, *args):
        calls.append(name)
        if len(calls) <= times:
            raise tf.errors.ResourceExhaustedError(
                None, None, "OOM when allocating tensor"
            )
        return real(self, *args)

    monkeypatch.setattr(owner, name, method)
    return calls


def test_rows_that_run_out_of_memory_are_trained_alone_and_say_so(monkeypatch):
    run_out(monkeypatch, Stack, "epoch", 1)
    engine = VectorizedEngine(open_study(definition(epochs=2)), width=4)
    first = World(*(spec(number, optimizer="sgd") for number in range(1, 4)))
    ends = first.run(engine)
    assert [(each.engine, each.status) for each in ends] == [("graph", "complete")] * 3
    assert all(limits.ROWS_TOO_LARGE.reason in " ".join(each.notes) for each in ends)
    assert engine.width == 2
    [again] = World(spec(9, optimizer="sgd")).run(engine)
    assert (again.engine, again.status) == ("vectorized", "complete"), (
        "fewer rows are tried again"
    )


@pytest.mark.parametrize(("times", "engine"), [(1, "graph"), (2, "fit")])
def test_a_graph_that_runs_out_of_memory_streams_its_data_and_then_leaves_it_to_fit(
    monkeypatch, times, engine
):
    run_out(monkeypatch, GraphRun, "train", times)
    [end] = World(spec(optimizer="sgd")).run(
        create_engine("graph", open_study(definition()))
    )
    assert (end.engine, end.status) == (engine, "complete")
    said = " ".join(end.notes)
    assert "its batches stream" in said
    assert (limits.GRAPHS_TOO_LARGE.reason in said) is (engine == "fit")


def test_auto_chooses_one_trial_at_a_time_where_rows_would_not_fit(monkeypatch):
    full = DeviceMemory(used=100.0, peak=100.0, limit=200.0)
    monkeypatch.setattr(auto, "read_memory", lambda: full)
    monkeypatch.setattr(
        VectorizedEngine, "stack", lambda *_: pytest.fail("rows were tried")
    )
    engine = create_engine("auto", open_study(definition()))
    figures = engine.calibrate(None)
    assert (figures["engine"], figures["width"]) == ("graph", 1)
    assert limits.ROWS_TOO_LARGE.reason in figures["reason"]
