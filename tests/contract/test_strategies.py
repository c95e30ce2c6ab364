"""A model under tf.distribute.MirroredStrategy trains as on one device; under another
strategy it is refused.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tensorflow
HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def found():
    """What a process of its own with two logical CPUs found: a process cannot change
    its devices later.
    """
    paths = os.pathsep.join(
        [str(HERE.parent), str(HERE / "support"), os.environ.get("PYTHONPATH", "")]
    )
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    command = [sys.executable, str(HERE / "support" / "mirrored.py")]
    ran = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("trial", ["1", "2"])
def test_two_devices_train_what_one_does_but_for_float_noise(found, trial):
    status, engine, logs, notes, text = found["two"]["ends"][trial]
    assert status == "complete", text
    assert engine == "fit"
    assert any("MirroredStrategy" in note or "a strategy" in note for note in notes)
    assert logs == pytest.approx(found["one"]["ends"][trial][2], rel=1e-4)


def test_yours_is_described_and_a_checkpoint_goes_on_on_two_devices(found):
    assert found["two"]["rate"] == found["one"]["rate"] == pytest.approx(1e-2)
    [[status, logs, text]] = found["two"]["resumed"]
    assert status == "complete", text
    assert logs == pytest.approx(found["two"]["ends"]["1"][2], rel=1e-5)


def test_another_strategy_is_refused_in_one_line(found):
    assert "got 'a model under OneDeviceStrategy'" in found["refused"]
    assert "MirroredStrategy" in found["refused"]
    assert "\n" not in found["refused"]
