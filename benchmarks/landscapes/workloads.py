"""MNIST's images and Shakespeare's characters, as the benchmark of engines reads them."""

import sys
from pathlib import Path

_CONTEST = Path(__file__).parents[1] / "contest"


def mnist():
    """((8000, 28, 28, 1) float32 in 0..1, (8000,) int32), and 2,000 of the same to validate."""
    return _contest().mnist_data()


def characters():
    """((1920, 64), (1920, 64)) int32, each character's label the next one, and 256 to validate."""
    return _contest().text_data()


def _contest():
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "contest_workloads", _CONTEST / "workloads.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
