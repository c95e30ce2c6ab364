"""A machine with GPUs, played by an nvidia-smi of ours: workers are bound to what is said there.

TensorFlow sees no GPU here, so two logical CPUs stand in for them.
"""

import json
import os
import subprocess
import sys

import pytest

STUDY = """
import keras
import numpy as np
import tensorflow as tf
from lrsearch import SearchSpace, StudyDefinition

halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)


def load_data():
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    return (x, x[:, :1]), (x[:8], x[:8, :1])


def build_model():
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
    return model


definition = StudyDefinition(epochs=2, batch_size=16, space=SearchSpace(optimizers=["adam"]))
"""
SMI = """#!/bin/sh
echo "0, GPU-a, NVIDIA T4, 15360, [N/A]"
echo "1, GPU-b, NVIDIA T4, 15360, [N/A]"
echo "2, GPU-c, NVIDIA T4, 15360, [N/A]"
"""

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow, pytest.mark.long]


@pytest.fixture
def run(tmp_path):
    """Runs lrsearch on a machine of three GPUs."""
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CUDA")
    }
    environment |= {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LRSEARCH_STORAGE": f"sqlite:///{tmp_path}/gpus.db",
    }

    def run(*arguments):
        command = [sys.executable, "-m", "lrsearch", *arguments]
        done = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_a_model_under_a_mirrored_strategy_trains_on_two_gpus_of_one_worker(
    run, tmp_path
):
    (tmp_path / "study.py").write_text(STUDY)
    options = ["--trials", "2", "--retest", "0", "--name", "mirrored"]
    said = run("start-study", "study.py", *options, "--gpus-per-trial", "2")
    assert "--gpus-per-trial 2, gpu:2 left over" in said.stderr
    [worker] = json.loads(run("workers", "mirrored", "--json").stdout)
    assert worker["slot"] == "gpu:0+1"
    trials = json.loads(run("trials", "mirrored", "--json").stdout)
    assert [(each["state"], each["engine"]) for each in trials] == [
        ("complete", "fit")
    ] * 2
