"""What the doctor finds on a machine, and what it says to do: the training in its own
process is played.
"""

import json
import subprocess
from pathlib import Path

import pytest

from lrsearch.options import MachineOptions
from lrsearch.setup import doctor
from lrsearch.setup.devices import Machine

PROBED = {"devices": ["/CPU:0"], "seconds": 0.4, "peak_mib": 500.0, "data_mib": 3.0}
WELL = (0, json.dumps(PROBED), "")


@pytest.fixture
def diagnose(tmp_path, monkeypatch):
    """Diagnoses a machine of four cores, on which the training ends like this; checks by name."""

    def diagnose(*, memory_mib=16000, ends=WELL, study_file=None, **options):
        def run(*_command, **_how):
            if ends is None:
                raise subprocess.TimeoutExpired("probe", 1.0)
            return subprocess.CompletedProcess((), *ends)

        machine = Machine(gpus=(), cores=4, memory_mib=memory_mib)
        monkeypatch.setattr(doctor, "inspect_machine", lambda: machine)
        monkeypatch.setattr(doctor.subprocess, "run", run)
        options = MachineOptions(**{"storage": f"sqlite:///{tmp_path}/d.db", **options})
        return {each.name: each for each in doctor.diagnose(options, study_file)}

    return diagnose


def test_a_machine_on_which_all_is_well_has_nothing_to_fix(diagnose, tmp_path):
    found = diagnose()
    assert list(found) == [
        "libraries",
        "devices",
        "database",
        "checkpoints",
        "tensorflow",
        "training",
        "memory",
    ]
    assert all(each.well and not each.fix for each in found.values())
    assert "4 workers of 1 thread" in found["devices"].text
    assert not (tmp_path / "d.db").exists(), "it only looks"
    assert found["memory"].to_json() == {
        "name": "memory",
        "well": True,
        "text": "3276 MiB for 4 workers (3 MiB of data in each), 16000 MiB free",
        "fix": "",
    }


def test_devices_that_are_not_there_end_the_look(diagnose):
    found = diagnose(devices="gpu:7")
    assert list(found) == ["libraries", "devices"]
    assert "--devices cpu" in found["devices"].fix


def test_a_database_that_cannot_be_used_does_not_hide_how_training_is(diagnose):
    found = diagnose(storage="sqlite:////nowhere/at/all/d.db")
    assert not found["database"].well
    assert found["training"].well


@pytest.mark.parametrize(
    ("ends", "study_file", "said", "fix"),
    [
        (None, None, "longer than 300 s", "load"),
        (
            (1, "", "first\nImportError: no keras"),
            None,
            "ImportError: no keras",
            "Reinstall",
        ),
        ((1, "", ""), None, "it said nothing", "Reinstall"),
        ((1, "", "NameError: x"), Path("s.py"), "NameError: x", "Mend the study file"),
    ],
)
def test_a_training_that_does_not_end_well_says_why_and_what_to_do(
    diagnose, ends, study_file, said, fix
):
    found = diagnose(ends=ends, study_file=study_file)
    assert said in found["training"].text
    assert fix in found["training"].fix
    assert "memory" not in found


def test_memory_that_is_too_small_for_what_was_measured_names_how_many_fit(diagnose):
    ends = (0, json.dumps(PROBED | {"peak_mib": 3000.0}), "")
    found = diagnose(memory_mib=7000, ends=ends, workers=4)
    assert found["memory"].fix == "Start fewer: --workers 2"
