"""Devices are found without TensorFlow and divided so that no two workers fight over one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.errors import DeviceProblem, InvalidValue
from lrsearch.options import MachineOptions
from lrsearch.setup.devices import Machine, inspect_machine, select_visible
from lrsearch.setup.nvidia import Gpu, _from_driver, list_gpus, parse_smi
from lrsearch.setup.slots import plan_slots

# What nvidia-smi said elsewhere, with UUIDs shortened. Slices are named as in NVIDIA's
# MIG guide.
H200 = "0, GPU-b182fef8-4cef-d366-2467-d44a2b5aa688, NVIDIA H200, 143771, Disabled\n"
MIXED = "0, GPU-a, NVIDIA T4, 15360, [N/A]\n1, GPU-b, NVIDIA A100-PCIE-40GB, 40960, Disabled\n"
CUT = "0, GPU-e8, NVIDIA A100-SXM4-40GB, 40960, Enabled\n1, GPU-f9, NVIDIA A100-SXM4-40GB, 40960, Disabled\n"
SLICES = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-e8)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6)
  MIG 2g.10gb     Device  1: (UUID: MIG-cb)
  MIG 1c.1g.5gb   Device  2: (UUID: MIG-d0)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-f9)
"""
# Of a driver 450, as a computing centre published it, and of a driver 535, as a bug
# report did.
OLD_SLICES = """GPU 0: A100-SXM4-40GB (UUID: GPU-2fa5cf01-9520-1bc1-995b-cc0c6d9bca7c)
  MIG 1c.3g.20gb Device 0: (UUID: MIG-GPU-2fa5cf01-9520-1bc1-995b-cc0c6d9bca7c/1/0)
  MIG 1c.3g.20gb Device 1: (UUID: MIG-GPU-2fa5cf01-9520-1bc1-995b-cc0c6d9bca7c/2/0)
"""
SEVEN = """GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-7fdaf0a5-179b-f636-d15d-daf243e3ff16)
  MIG 1g.10gb     Device  0: (UUID: MIG-feb88891-0321-5fef-9c87-d4af3b54259e)
  MIG 1g.10gb     Device  1: (UUID: MIG-a25704ba-3a06-5299-a795-fd7cf4d13973)
  MIG 1g.10gb     Device  2: (UUID: MIG-50f1c4c9-1508-5e8d-bb06-d08145b22e01)
  MIG 1g.10gb     Device  3: (UUID: MIG-36c795f2-5cf7-55d6-af30-e535e79b7bb6)
  MIG 1g.10gb     Device  4: (UUID: MIG-3f45d38c-8cee-503e-b806-a1f1bdceedeb)
  MIG 1g.10gb     Device  5: (UUID: MIG-96655de9-9525-58f9-a62b-0e4c1cc1c265)
  MIG 1g.10gb     Device  6: (UUID: MIG-1aae4990-b962-574e-8375-119d6d9b9687)
"""
PLAYED = """#!/bin/sh
case "$*" in
  -L) cat {folder}/listed ;;
  *mig.mode.current*) {mode} ;;
  *) cat {folder}/plain ;;
esac
"""

SMI = (
    "0, GPU-aa, NVIDIA A100-SXM4-40GB, 40960\n1, GPU-ab, NVIDIA A100-SXM4-40GB, 40960\n"
)
GPUS = parse_smi(SMI)


def slots_of(machine, *, trials=None, kept=None, **asked):
    return plan_slots(machine, MachineOptions(**asked), trials=trials, kept=kept).slots


def reason_of(machine, *, trials=None, kept=None, **asked):
    return str(plan_slots(machine, MachineOptions(**asked), trials=trials, kept=kept))


def machine(gpus=GPUS, cores=8, memory_mib=64_000):
    return Machine(gpus=gpus, cores=cores, memory_mib=memory_mib)


def test_nvidia_smi_is_read():
    assert GPUS[1] == Gpu(
        index=1, uuid="GPU-ab", name="NVIDIA A100-SXM4-40GB", memory_mib=40960
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found\n",
        "Failed to initialize NVML: Driver/library version mismatch\n",
    ],
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
        # As a driver of version 580 does on an H200: benchmarks/gpus/visible.py.
        ("0,0", []),
        ("GPU-", []),
        ("gpu-AB", ["GPU-ab"]),
        ("GPU-ab,0", ["GPU-ab"]),
        ("0,GPU-ab", ["GPU-aa"]),
        ("00", ["GPU-aa"]),
        ("+1", ["GPU-ab"]),
        (" 1 ", ["GPU-ab"]),
        ("1,", ["GPU-ab"]),
        ("ab", []),
        ("NoDevFiles", []),
        ("GPU-a", []),  # of two cards
    ],
)
def test_cuda_visible_devices_is_honoured_as_cuda_does(visible, uuids):
    chosen = select_visible(GPUS, visible)
    assert [gpu.uuid for gpu in chosen] == uuids
    assert [gpu.index for gpu in chosen] == list(range(len(uuids)))


def test_an_empty_cuda_visible_devices_hides_all():
    assert inspect_machine({"CUDA_VISIBLE_DEVICES": ""}).gpus == ()


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
        "TF_FORCE_GPU_ALLOW_GROWTH" not in slot.env
        and "TF_FORCE_GPU_ALLOW_GROWTH" in slot.unset
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


@pytest.mark.parametrize(
    "devices", ["tpu", "gpu:", "gpu:x", "gpu:0,0", "0", "cpu:1", ""]
)
def test_a_request_that_makes_no_sense_is_refused(devices):
    with pytest.raises(InvalidValue, match="--devices"):
        slots_of(machine(), devices=devices)


def test_cpu_workers_see_no_gpu_and_share_the_cores():
    slots = slots_of(machine(), devices="cpu", workers=3)
    assert [slot.name for slot in slots] == ["cpu:0", "cpu:1", "cpu:2"]
    assert all(
        slot.env["CUDA_VISIBLE_DEVICES"] == "-1" and slot.threads == 2 for slot in slots
    )


def test_per_device_on_a_cpu_is_refused():
    with pytest.raises(InvalidValue, match="--per-device"):
        slots_of(machine(gpus=()), per_device=2)


def test_memory_caps_the_workers_that_nobody_asked_for():
    assert len(slots_of(machine(gpus=(), cores=64, memory_mib=2600))) == 3
    assert len(slots_of(machine(gpus=(), cores=64, memory_mib=100))) == 1
    assert len(slots_of(machine(gpus=(), cores=64, memory_mib=100), workers=5)) == 5


@given(
    cores=st.integers(1, 64),
    trials=st.integers(1, 50),
    workers=st.none() | st.integers(1, 80),
)
def test_never_more_cpu_workers_than_trials_nor_threads_than_cores(
    cores, trials, workers
):
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
        (
            {"threads": 4, "workers": 2},
            "2 workers of 4 threads: --workers 2, --threads 4",
        ),
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
        told
        == "2 workers of 4 threads: 1.8 GiB of memory are free, and a worker takes about 0.8"
    )


def test_workers_on_gpus_keep_no_number_of_threads():
    assert reason_of(machine(), kept=1) == "2 workers of 4 threads: one per GPU"
    assert (
        reason_of(machine(), per_device=2, threads=1)
        == "4 workers of 1 thread: --per-device 2, --threads 1"
    )


@pytest.mark.parametrize("name", ["workers", "threads", "per_device", "gpus_per_trial"])
def test_a_number_of_workers_or_threads_below_one_is_refused(name):
    with pytest.raises(
        InvalidValue, match=f"{name} must be a whole number of at least 1"
    ):
        MachineOptions(**{name: 0})


def test_this_machine_has_at_least_one_core():
    assert inspect_machine({"CUDA_VISIBLE_DEVICES": ""}).cores >= 1


# -- recorded machines -----------------------------------------------------------------


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Puts an nvidia-smi on the PATH that says this; an old one does not know of MIG."""

    def play(queried, listed="", *, old=False):
        (tmp_path / "queried").write_text(queried)
        (tmp_path / "listed").write_text(listed)
        plain = [line.rpartition(",")[0] for line in queried.splitlines()]
        (tmp_path / "plain").write_text("\n".join(plain))
        mode = "echo Field mig.mode.current is not valid; exit 2"
        mode = mode if old else f"cat {tmp_path}/queried"
        program = tmp_path / "nvidia-smi"
        program.write_text(PLAYED.format(folder=tmp_path, mode=mode))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return play


def test_an_h200_is_found_as_it_was_recorded(play):
    play(H200)
    [gpu] = list_gpus()
    assert (gpu.name, gpu.memory_mib) == ("NVIDIA H200", 143771)
    shared = slots_of(machine(gpus=(gpu,)), per_device=4)
    # Four such limits and four contexts were there together: 140,254 of 143,771 MiB
    # were taken.
    assert {slot.memory_mib for slot in shared} == {35328}


def test_a_driver_that_knows_no_mig_is_asked_without_it(play):
    play(MIXED, old=True)
    assert [gpu.memory_mib for gpu in list_gpus()] == [15360, 40960]


def test_a_card_that_is_cut_gets_a_worker_for_every_slice(play):
    play(CUT, SLICES)
    found = inspect_machine({})
    assert [(gpu.index, gpu.uuid, gpu.memory_mib) for gpu in found.gpus] == [
        (0, "MIG-c6", 19073),
        (1, "MIG-cb", 9536),
        (2, "MIG-d0", None),
        (3, "GPU-f9", 40960),
    ]
    slots = slots_of(found)
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots] == [
        "MIG-c6",
        "MIG-cb",
        "MIG-d0",
        "GPU-f9",
    ]


def test_slices_of_older_drivers_are_named_by_their_card(play):
    card = "GPU-2fa5cf01-9520-1bc1-995b-cc0c6d9bca7c"
    play(f"0, {card}, A100-SXM4-40GB, 40536, Enabled\n", OLD_SLICES)
    assert [gpu.uuid for gpu in list_gpus()] == [f"MIG-{card}/1/0", f"MIG-{card}/2/0"]
    [second] = inspect_machine({"CUDA_VISIBLE_DEVICES": f"MIG-{card}/2/0"}).gpus
    assert second.uuid == f"MIG-{card}/2/0"


def test_seven_slices_of_a_newer_driver_are_seven_workers_with_their_memory(play):
    card = "GPU-7fdaf0a5-179b-f636-d15d-daf243e3ff16"
    play(f"0, {card}, NVIDIA A100-SXM4-80GB, 81920, Enabled\n", SEVEN)
    slots = slots_of(inspect_machine({}))
    assert len({slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots}) == 7
    assert {gpu.memory_mib for gpu in list_gpus()} == {9536}


@pytest.mark.parametrize("profile", ["1g.24gb-me", "1g.24gb+me.all", "1g.24gb+gfx"])
def test_a_slice_with_or_without_engines_for_media_has_its_memory_too(play, profile):
    play(CUT.splitlines()[0] + "\n", SLICES.replace("3g.20gb", profile))
    assert list_gpus()[0].memory_mib == 22888


def test_a_card_that_may_be_cut_and_has_no_slice_is_no_device(play):
    play(CUT, "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-e8)\n")
    assert [gpu.uuid for gpu in list_gpus()] == ["GPU-f9"]


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("0", ["MIG-c6"]),  # CUDA takes a cut card's first slice
        ("GPU-e8", ["MIG-c6"]),
        ("MIG-cb", ["MIG-cb"]),
        ("1", ["GPU-f9"]),
    ],
)
def test_cuda_visible_devices_names_slices_and_cut_cards(play, visible, uuids):
    play(CUT, SLICES)
    found = inspect_machine({"CUDA_VISIBLE_DEVICES": visible}).gpus
    assert [gpu.uuid for gpu in found] == uuids


def test_a_number_among_cards_that_differ_is_refused_unless_it_is_of_the_bus(play):
    play(MIXED)
    asked = {"CUDA_VISIBLE_DEVICES": "0"}
    unclear = inspect_machine(asked)
    with pytest.raises(
        DeviceProblem, match=r"counts the fastest first.*CUDA_DEVICE_ORDER"
    ):
        slots_of(unclear)
    assert slots_of(unclear, devices="cpu")[0].name.startswith("cpu")
    by_bus = inspect_machine({**asked, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    assert [gpu.uuid for gpu in by_bus.gpus] == ["GPU-a"]


@pytest.mark.parametrize("visible", ["0,1", "1,0", "GPU-b", None])
def test_cards_that_differ_are_taken_where_all_or_uuids_are_named(play, visible):
    play(MIXED)
    asked = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert slots_of(inspect_machine(asked))[0].gpu


# -- several GPUs for each trial -------------------------------------------------------

FOUR = tuple(
    Gpu(index=index, uuid=f"GPU-{index}", name="T4", memory_mib=15360)
    for index in range(4)
)


def test_gpus_per_trial_gives_every_worker_a_group_of_its_own():
    slots = slots_of(machine(gpus=FOUR), gpus_per_trial=2)
    assert [slot.name for slot in slots] == ["gpu:0+1", "gpu:2+3"]
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots] == [
        "GPU-0,GPU-1",
        "GPU-2,GPU-3",
    ]
    assert all(
        slot.env["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" and slot.gpu for slot in slots
    )
    assert [slot.threads for slot in slots] == [4, 4]


def test_a_gpu_that_no_group_takes_is_said():
    told = reason_of(machine(gpus=FOUR), gpus_per_trial=3)
    assert told == "1 worker of 8 threads: --gpus-per-trial 3, gpu:3 left over"


def test_one_gpu_per_trial_is_what_happens_anyway():
    assert slots_of(machine(gpus=FOUR), gpus_per_trial=1) == slots_of(
        machine(gpus=FOUR)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus_per_trial": 5}, "needs 5 GPUs; this machine shows 4 GPUs"),
        ({"gpus_per_trial": 2, "workers": 3}, "--workers must be at most 2"),
        ({"gpus_per_trial": 2, "per_device": 2}, "--per-device must be left out"),
        (
            {"gpus_per_trial": 2, "devices": "cpu"},
            "--gpus-per-trial must be left out on a CPU",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused_in_one_line(given, said):
    with pytest.raises((DeviceProblem, InvalidValue), match=said):
        slots_of(machine(gpus=FOUR), **given)


def test_slices_are_never_grouped():
    cut = tuple(replace(gpu, uuid=f"MIG-{gpu.index}") for gpu in FOUR)
    with pytest.raises(DeviceProblem, match="gpu:0 is a MIG slice"):
        slots_of(machine(gpus=cut), gpus_per_trial=2)
