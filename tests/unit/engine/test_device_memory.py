"""Memory is asked for before it is taken: rows, resident data and kept graphs are tried
only where the device has room. The device is played, since no GPU is at hand.
"""

import math
import re

import pytest

pytest.importorskip("tensorflow")
import tensorflow as tf

from lrsearch.engine import auto, calibration, limits
from lrsearch.engine._keras_state import cudnn_layers
from lrsearch.engine._tensorflow import memory_limit
from lrsearch.engine.auto import _row_bytes, _row_seconds
from lrsearch.engine.calibration import timing_of
from lrsearch.engine.device_memory import SHARE_OF_FREE, DeviceMemory, read_memory
from lrsearch.engine.inspection_notes import device_notes
from lrsearch.engine.limits import CannotCarry

GIB = 2**30


@pytest.fixture
def device(monkeypatch):
    """A GPU with this memory, in bytes."""

    def play(limit, *, used=0.0, peak=0.0):
        memory = DeviceMemory(used=used, peak=max(used, peak), limit=limit)
        for module in (auto, limits):
            monkeypatch.setattr(module, "read_memory", lambda: memory)
        monkeypatch.setattr(limits, "has_gpu", lambda: True)
        monkeypatch.setattr(auto, "forget_peak", lambda: None)

    return play


class Data:
    """Arrays of this size."""

    def __init__(self, size, monkeypatch):
        monkeypatch.setattr(limits, "_arrays", lambda data: [data])
        self.nbytes = size


def test_a_cpus_memory_is_the_process_and_a_share_of_what_is_free(monkeypatch):
    monkeypatch.setattr("lrsearch.engine.device_memory.free_bytes", lambda: 8.0 * GIB)
    memory = read_memory()
    assert memory.room == pytest.approx(8 * GIB / SHARE_OF_FREE)
    assert memory.used == memory.peak > 0


def test_tensorflows_allocator_tells_its_limit_of_a_device_that_is_there():
    assert 0 < memory_limit("CPU:0") < math.inf
    assert memory_limit("GPU:7") == math.inf


@pytest.mark.parametrize(
    ("size", "step", "fits"),
    [
        (3 * GIB, 0, True),  # an eighth of the device, a step being unknown
        (3 * GIB + 1, 0, False),
        (3 * GIB, 8 * GIB, True),  # half of what one and a half steps leave: 6 GiB
        (4 * GIB, 12 * GIB, False),  # a step that nearly fills the device leaves 3
        (1 * GIB, 23 * GIB, False),
        (limits.MOST_BYTES + 1, 1, False),
    ],
)
def test_data_lies_on_a_gpu_only_beside_the_model(
    device, monkeypatch, size, step, fits
):
    device(24.0 * GIB)
    assert limits.fits_device(Data(size, monkeypatch), step) is fits


def test_rows_of_a_model_that_fills_the_device_are_not_tried(device):
    device(24.0 * GIB, used=6.0 * GIB)
    assert _row_bytes(1000) == 32_000  # eight copies of float32 weights
    with pytest.raises(CannotCarry, match="the rows do not fit into memory together"):
        _row_bytes(250_000_000)


def test_activations_that_a_trial_alone_needed_count_for_its_row(device):
    device(24.0 * GIB, used=1.0 * GIB, peak=5.0 * GIB)
    assert _row_bytes(1000) == 4 * GIB + 16_000


def test_widths_are_tried_as_long_as_twice_the_last_ones_memory_is_there(monkeypatch):
    tried = []

    class Rows:
        def training(self, width, *, batches):
            tried.append(width)
            while True:
                yield 0.01 * batches, width * batches

    def memory():
        peak = 100 + 100 * (tried[-1] if tried else 0)
        return DeviceMemory(used=100.0, peak=float(peak), limit=1100.0)

    monkeypatch.setattr(auto, "read_memory", memory)
    monkeypatch.setattr(auto, "forget_peak", lambda: None)
    timings = _row_seconds(Rows(), 0.01, 100.0)
    assert tried == [2, 4, 8]  # 16 rows would take 1,600 of the 1,000 that are left
    assert list(timings) == ["2 rows", "4 rows", "8 rows"]


def test_a_call_that_compiled_counts_for_the_beginning_and_not_for_the_mean():
    timing = timing_of(iter([(0.01, 10), (2.0, 1), (0.03, 10)]), enough=2.04)
    assert timing.best == pytest.approx(0.001)
    assert timing.mean == pytest.approx(0.04 / 20)
    assert calibration.COMPILES > 10, "a busy machine's calls stay in the mean"


def test_a_layer_that_cudnn_runs_is_seen_in_a_function_within_the_graph():
    @tf.function
    def layer(x):
        zeros = tf.zeros((1, 2, 4))
        return tf.raw_ops.CudnnRNNV3(
            input=x,
            input_h=zeros,
            input_c=zeros[:, :, :0],
            params=tf.zeros(100),
            sequence_lengths=[3, 3],
            rnn_mode="gru",
        ).output

    outer = tf.function(lambda x: layer(x) + 1.0)
    concrete = outer.get_concrete_function(tf.TensorSpec((3, 2, 4)))
    assert cudnn_layers(concrete) == ["CudnnRNNV3"]
    with pytest.raises(CannotCarry, match="cuDNN"):
        limits.check_rows(concrete)


class Strategy:
    def __init__(self, replicas):
        self.num_replicas_in_sync = replicas


@pytest.mark.parametrize(
    ("gpus", "strategy", "said"),
    [
        (0, None, None),
        (1, None, None),
        (2, Strategy(2), None),
        (2, None, "2 GPUs, and the model trains on 1 of them.*MirroredStrategy"),
        (4, Strategy(2), "4 GPUs, and the model trains on 2"),
        (1, Strategy(1), "trains on one device: --gpus-per-trial N"),
    ],
)
def test_gpus_and_a_strategy_that_do_not_fit_are_noted(gpus, strategy, said):
    notes = list(device_notes(gpus, strategy))
    assert len(notes) == (0 if said is None else 1)
    for note in notes:
        assert re.search(said, note)
