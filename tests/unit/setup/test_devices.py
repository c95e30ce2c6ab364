"""Devices are found without TensorFlow and divided so that no two workers fight over one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.errors import DeviceProblem, InvalidValue
from lrsearch.options import MachineOptions
from lrsearch.setup.devices import (
    Gpu,
    Machine,
    _from_driver,
    find_gpus,
    inspect_machine,
    parse_smi,
    select_visible,
)
from lrsearch.setup.slots import plan_slots

SMI = "0, GPU-aa, NVIDIA A100-SXM4-40GB, 40960\n1, GPU-ab, NVIDIA A100-SXM4-40GB, 40960\n"
GPUS = parse_smi(SMI)


def slots_of(machine, *, trials=None, kept=None, **asked):
    return plan_slots(machine, MachineOptions(**asked), trials=trials, kept=kept).slots


def reason_of(machine, *, trials=None, kept=None, **asked):
    return str(plan_slots(machine, MachineOptions(**asked), trials=trials, kept=kept))


def machine(gpus=GPUS, cores=8, memory_mib=64_000):
    return Machine(gpus=gpus, cores=cores, memory_mib=memory_mib)


def test_nvidia_smi_is_read():
    assert GPUS[1] == Gpu(index=1, uuid="GPU-ab", name="NVIDIA A100-SXM4-40GB", memory_mib=40960)


@pytest.mark.parametrize(
    "text",
    ["", "No devices were found\n", "Failed to initialize NVML: Driver/library version mismatch\n"],
)
def test_what_nvidia_smi_says_otherwise_is_no_device(text):
    assert parse_smi(text) == ()


def test_memory_that_is_not_known_is_none():
    assert parse_smi("0, GPU-aa, Orin, [N/A]\n")[0].memory_mib is None


def test_the_drivers_files_do_where_nvidia_smi_is_missing(tmp_path):
    for bus, uuid in (("0000:65:00.0", "GPU-b"), ("0000:17:00.0", "GPU-a")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(
            f"Model: \t\t NVIDIA T4\nIRQ: 1\nGPU UUID: \t {uuid}\n"
        )
    assert [(gpu.index, gpu.uuid, gpu.name) for gpu in _from_driver(tmp_path)] == [
        (0, "GPU-a", "NVIDIA T4"),
        (1, "GPU-b", "NVIDIA T4"),
    ]


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        (None, ["GPU-aa", "GPU-ab"]),
        ("1", ["GPU-ab"]),
        ("1,0", ["GPU-ab", "GPU-aa"]),
        ("GPU-ab", ["GPU-ab"]),
        ("0,7,1", ["GPU-aa"]),
        ("-1", []),
        ("MIG-x", ["MIG-x"]),
    ],
)
def test_cuda_visible_devices_is_honoured_as_cuda_does(visible, uuids):
    chosen = select_visible(GPUS, visible)
    assert [gpu.uuid for gpu in chosen] == uuids
    assert [gpu.index for gpu in chosen] == list(range(len(uuids)))


def test_an_empty_cuda_visible_devices_hides_all():
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()


def test_one_worker_a_gpu_bound_by_uuid_with_memory_that_grows():
    slots = slots_of(machine())
    assert [slot.name for slot in slots] == ["gpu:0", "gpu:1"]
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["GPU-aa", "GPU-ab"]
    assert all(
        slot.env["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        and slot.memory_mib is None
        and slot.threads == 4
        for slot in slots
    )


def test_sharing_a_gpu_sets_a_hard_limit_and_never_growth_too():
    slots = slots_of(machine(), devices="gpu:1", per_device=4)
    assert [slot.name for slot in slots] == ["gpu:1/0", "gpu:1/1", "gpu:1/2", "gpu:1/3"]
    assert {slot.memory_mib for slot in slots} == {(40960 - 4 * 614) // 4}
    assert all(
        "TF_FORCE_GPU_ALLOW_GROWTH" not in slot.env and "TF_FORCE_GPU_ALLOW_GROWTH" in slot.unset
        for slot in slots
    )


def test_more_workers_than_gpus_are_spread_before_they_double_up():
    slots = slots_of(machine(), workers=3)
    assert [slot.name for slot in slots] == ["gpu:0/0", "gpu:1", "gpu:0/1"]
    assert [slot.memory_mib is None for slot in slots] == [False, True, False]


def test_fewer_workers_than_gpus_take_the_first():
    assert [slot.name for slot in slots_of(machine(), workers=1)] == ["gpu:0"]


def test_a_missing_device_is_refused_with_what_there_is():
    with pytest.raises(
        DeviceProblem,
        match=r"no gpu:7 on this machine. There is: gpu:0 \(NVIDIA A100-SXM4-40GB\).*cpu \(8 cores\)",
    ):
        slots_of(machine(), devices="gpu:0,7")
    with pytest.raises(DeviceProblem, match="no GPU on this machine"):
        slots_of(machine(gpus=()), devices="gpu")


@pytest.mark.parametrize("devices", ["tpu", "gpu:", "gpu:x", "gpu:0,0", "0", "cpu:1", ""])
def test_a_request_that_makes_no_sense_is_refused(devices):
    with pytest.raises(InvalidValue, match="--devices"):
        slots_of(machine(), devices=devices)


def test_cpu_workers_see_no_gpu_and_share_the_cores():
    slots = slots_of(machine(), devices="cpu", workers=3)
    assert [slot.name for slot in slots] == ["cpu:0", "cpu:1", "cpu:2"]
    assert all(slot.env["CUDA_VISIBLE_DEVICES"] == "-1" and slot.threads == 2 for slot in slots)


def test_per_device_on_a_cpu_is_refused():
    with pytest.raises(InvalidValue, match="--per-device"):
        slots_of(machine(gpus=()), per_device=2)


def test_memory_caps_the_workers_that_nobody_asked_for():
    assert len(slots_of(machine(gpus=(), cores=64, memory_mib=2600))) == 3
    assert len(slots_of(machine(gpus=(), cores=64, memory_mib=100))) == 1
    assert len(slots_of(machine(gpus=(), cores=64, memory_mib=100), workers=5)) == 5


@given(cores=st.integers(1, 64), trials=st.integers(1, 50), workers=st.none() | st.integers(1, 80))
def test_never_more_cpu_workers_than_trials_nor_threads_than_cores(cores, trials, workers):
    slots = slots_of(machine(gpus=(), cores=cores), workers=workers, trials=trials)
    assert len(slots) == workers if workers else 1 <= len(slots) <= trials
    assert all(slot.threads >= 1 for slot in slots)
    if len(slots) <= cores:
        assert sum(slot.threads for slot in slots) <= cores


TWO_CORES = machine(gpus=(), cores=2)
BITWISE = "as many threads as the study began with, which resumes bitwise (--threads changes it)"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "2 workers of 1 thread: one per core"),
        ({"trials": 1}, "1 worker of 2 threads: 1 trial to train"),
        ({"trials": 40, "workers": 3}, "3 workers of 1 thread: --workers 3"),
        ({"threads": 2}, "1 worker of 2 threads: --threads 2"),
        ({"threads": 4, "workers": 2}, "2 workers of 4 threads: --workers 2, --threads 4"),
        ({"kept": 1}, "2 workers of 1 thread: one per core"),
        ({"kept": 2}, f"1 worker of 2 threads: {BITWISE}"),
        ({"kept": 1, "trials": 1}, f"1 worker of 1 thread: {BITWISE}"),
        ({"kept": 1, "workers": 1}, f"1 worker of 1 thread: --workers 1; {BITWISE}"),
        (
            {"kept": 1, "threads": 2},
            "1 worker of 2 threads: --threads 2; the study began with 1, so what was interrupted does not resume bitwise",
        ),
    ],
    ids=str,
)
def test_the_choice_of_workers_is_said_with_its_reason(given, text):
    assert reason_of(TWO_CORES, **given) == text


def test_the_choice_names_memory_where_memory_decides():
    told = reason_of(machine(gpus=(), cores=8, memory_mib=1800))
    assert (
        told == "2 workers of 4 threads: 1.8 GiB of memory are free, and a worker takes about 0.8"
    )


def test_workers_on_gpus_keep_no_number_of_threads():
    assert reason_of(machine(), kept=1) == "2 workers of 4 threads: one per GPU"
    assert (
        reason_of(machine(), per_device=2, threads=1)
        == "4 workers of 1 thread: --per-device 2, --threads 1"
    )


@pytest.mark.parametrize("name", ["workers", "threads", "per_device"])
def test_a_number_of_workers_or_threads_below_one_is_refused(name):
    with pytest.raises(InvalidValue, match=f"{name} must be a whole number of at least 1"):
        MachineOptions(**{name: 0})


def test_this_machine_has_at_least_one_core():
    assert inspect_machine({"CUDA_VISIBLE_DEVICES": ""}).cores >= 1
