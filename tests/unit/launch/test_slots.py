"""Which divisions of the cores are compared, and what is said of them."""

import time
from types import SimpleNamespace

import pytest

from lrsearch.launch.devices import Gpu, Machine, plan_slots
from lrsearch.launch.slots import alternatives, named, seconds_ahead


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
    found = alternatives(machine, plan_slots(machine), workers=None, engine="auto")
    assert [named(each) for each in found] == others


def test_workers_on_gpus_have_no_alternative():
    machine = Machine(gpus=(Gpu(index=0, uuid="GPU-a", name="T4", memory_mib=16_000),), cores=8, memory_mib=None)
    assert alternatives(machine, plan_slots(machine), workers=None, engine="auto") == ()


@pytest.mark.parametrize("chosen", [{"workers": 2, "engine": "auto"}, {"workers": None, "engine": "graph"}], ids=str)
def test_what_the_caller_chose_has_no_alternative(chosen):
    machine = Machine(gpus=(), cores=2, memory_mib=None)
    assert alternatives(machine, plan_slots(machine), **chosen) == ()


@pytest.mark.parametrize(
    ("milliseconds", "trials", "deadline", "expected"),
    [
        ({"graph": 100.0, "2 rows": 50.0}, 40, None, 40 * 30 * 0.05 / 2),
        ({"graph": 100.0}, 12, None, 2 * 30 * 0.1 / 2),
        ({"graph": 100.0}, None, 600, 600),  # the deadline is for all workers together
        ({"graph": 100.0}, 11, 600, 30 * 0.1 / 2),
        ({}, 40, 600, 0),
    ],
)
def test_what_is_ahead_follows_from_an_engines_figures_and_the_deadline(milliseconds, trials, deadline, expected):
    facts = SimpleNamespace(epochs=3, steps_per_epoch={"16": 15, "64": 5})
    until = None if deadline is None else time.time() + deadline
    study = SimpleNamespace(plan=SimpleNamespace(facts=facts), trials=trials, deadline=until)
    done = 0 if trials == 40 else 10
    assert seconds_ahead(study, {"milliseconds": milliseconds}, done=done, workers=2) == pytest.approx(expected, abs=1)
