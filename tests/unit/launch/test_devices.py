"""Devices are found without TensorFlow and divided so that no two workers fight over one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.errors import DeviceProblem, InvalidValue
from lrsearch.launch.devices import Gpu, Machine, _from_driver, find_gpus, parse_smi, plan_slots, select_visible, this_machine

SMI = "0, GPU-aa, NVIDIA A100-SXM4-40GB, 40960\n1, GPU-ab, NVIDIA A100-SXM4-40GB, 40960\n"
GPUS = parse_smi(SMI)


def machine(gpus=GPUS, cores=8, memory_mib=64_000):
    return Machine(gpus=gpus, cores=cores, memory_mib=memory_mib)


def test_nvidia_smi_is_read():
    assert GPUS[1] == Gpu(index=1, uuid="GPU-ab", name="NVIDIA A100-SXM4-40GB", memory_mib=40960)


@pytest.mark.parametrize("text", ["", "No devices were found\n", "Failed to initialize NVML: Driver/library version mismatch\n"])
def test_what_nvidia_smi_says_otherwise_is_no_device(text):
    assert parse_smi(text) == ()


def test_memory_that_is_not_known_is_none():
    assert parse_smi("0, GPU-aa, Orin, [N/A]\n")[0].memory_mib is None


def test_the_drivers_files_do_where_nvidia_smi_is_missing(tmp_path):
    for bus, uuid in (("0000:65:00.0", "GPU-b"), ("0000:17:00.0", "GPU-a")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(f"Model: \t\t NVIDIA T4\nIRQ: 1\nGPU UUID: \t {uuid}\n")
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
    slots = plan_slots(machine())
    assert [slot.name for slot in slots] == ["gpu:0", "gpu:1"]
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["GPU-aa", "GPU-ab"]
    assert all(
        slot.env["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" and slot.memory_mib is None and slot.threads == 4 for slot in slots
    )


def test_sharing_a_gpu_sets_a_hard_limit_and_never_growth_too():
    slots = plan_slots(machine(), devices="gpu:1", per_device=4)
    assert [slot.name for slot in slots] == ["gpu:1/0", "gpu:1/1", "gpu:1/2", "gpu:1/3"]
    assert {slot.memory_mib for slot in slots} == {(40960 - 4 * 614) // 4}
    assert all("TF_FORCE_GPU_ALLOW_GROWTH" not in slot.env and "TF_FORCE_GPU_ALLOW_GROWTH" in slot.unset for slot in slots)


def test_more_workers_than_gpus_are_spread_before_they_double_up():
    slots = plan_slots(machine(), workers=3)
    assert [slot.name for slot in slots] == ["gpu:0/0", "gpu:1", "gpu:0/1"]
    assert [slot.memory_mib is None for slot in slots] == [False, True, False]


def test_fewer_workers_than_gpus_take_the_first():
    assert [slot.name for slot in plan_slots(machine(), workers=1)] == ["gpu:0"]


def test_a_missing_device_is_refused_with_what_there_is():
    with pytest.raises(
        DeviceProblem, match=r"no gpu:7 on this machine. There is: gpu:0 \(NVIDIA A100-SXM4-40GB\).*cpu \(8 cores\)"
    ):
        plan_slots(machine(), devices="gpu:0,7")
    with pytest.raises(DeviceProblem, match="no GPU on this machine"):
        plan_slots(machine(gpus=()), devices="gpu")


@pytest.mark.parametrize("devices", ["tpu", "gpu:", "gpu:x", "gpu:0,0", "0", "cpu:1", ""])
def test_a_request_that_makes_no_sense_is_refused(devices):
    with pytest.raises(InvalidValue, match="--devices"):
        plan_slots(machine(), devices=devices)


def test_cpu_workers_see_no_gpu_and_share_the_cores():
    slots = plan_slots(machine(), devices="cpu", workers=3)
    assert [slot.name for slot in slots] == ["cpu:0", "cpu:1", "cpu:2"]
    assert all(slot.env["CUDA_VISIBLE_DEVICES"] == "-1" and slot.threads == 2 for slot in slots)


def test_per_device_on_a_cpu_is_refused():
    with pytest.raises(InvalidValue, match="--per-device"):
        plan_slots(machine(gpus=()), per_device=2)


def test_memory_caps_the_workers_that_nobody_asked_for():
    assert len(plan_slots(machine(gpus=(), cores=64, memory_mib=3000))) == 2
    assert len(plan_slots(machine(gpus=(), cores=64, memory_mib=100))) == 1


@given(cores=st.integers(1, 64), trials=st.integers(1, 50), workers=st.none() | st.integers(1, 80))
def test_never_more_cpu_workers_than_trials_nor_threads_than_cores(cores, trials, workers):
    slots = plan_slots(machine(gpus=(), cores=cores), workers=workers, trials=trials)
    assert 1 <= len(slots) <= trials
    assert all(slot.threads >= 1 for slot in slots)
    if len(slots) <= cores:
        assert sum(slot.threads for slot in slots) <= cores


def test_this_machine_has_at_least_one_core():
    assert this_machine({"CUDA_VISIBLE_DEVICES": ""}).cores >= 1
