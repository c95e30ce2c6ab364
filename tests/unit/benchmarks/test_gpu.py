"""The benchmark of a GPU has minutes of a device: each step must be there, and begin in its turn."""

import ast
import importlib.util
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu", BENCHMARKS / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_step_is_a_command_here_or_a_step_of_the_process_that_calls_engines(gpu):
    tree = ast.parse((BENCHMARKS / "gpus" / "engines.py").read_text(encoding="utf-8"))
    defined = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    commands = {"visible", "checks", "study", "sharing"}
    assert all(callable(getattr(gpu, name)) for name in commands)
    assert set(gpu.LIMITS) - commands <= defined


def test_a_step_that_takes_too_long_costs_its_process_and_not_the_others(
    gpu, tmp_path, monkeypatch
):
    played = tmp_path / "engines.py"
    played.write_text(
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    time.sleep(60 * ('slow' in line))\n"
        "    'crash' in line and sys.exit(1)\n"
        "    print('said')\n"
        "    print('FOUND [1, 2]', flush=True)\n"
    )
    monkeypatch.setattr(gpu, "ENGINES", played)
    child = gpu.EngineProcess(quick=True)
    with pytest.raises(ValueError, match="not done after 0 s"):
        child.run("slow", 0.3, quick=True)
    assert child.run("quick", 20.0, quick=True) == [1, 2]
    with pytest.raises(ValueError, match="the process ended"):
        child.run("crash", 20.0, quick=True)
    assert child.run("quick", 20.0, quick=True) == [1, 2]
    child.close()


def test_a_rehearsal_trains_digits_for_two_epochs(gpu):
    assert "epochs=2," in gpu.digits(quick=True)
    assert "epochs=20," in gpu.digits(quick=False)
