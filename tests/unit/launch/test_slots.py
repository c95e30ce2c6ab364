"""Which divisions of the cores are compared, and what is said of them."""

import pytest

from lrsearch.launch.devices import Gpu, Machine, plan_slots
from lrsearch.launch.slots import alternatives, named


@pytest.mark.parametrize(
    ("cores", "others"),
    [
        (1, []),
        (2, ["1 worker of 2 threads"]),
        (8, ["1 worker of 8 threads", "2 workers of 4 threads"]),
        (32, ["1 worker of 32 threads", "8 workers of 4 threads"]),
    ],
)
def test_fewer_workers_share_the_same_cores(cores, others):
    machine = Machine(gpus=(), cores=cores, memory_mib=None)
    assert [named(each) for each in alternatives(machine, plan_slots(machine))] == others


def test_workers_on_gpus_have_no_alternative():
    machine = Machine(gpus=(Gpu(index=0, uuid="GPU-a", name="T4", memory_mib=16_000),), cores=8, memory_mib=None)
    assert alternatives(machine, plan_slots(machine)) == ()
