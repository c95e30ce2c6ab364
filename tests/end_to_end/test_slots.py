"""Workers and their threads are chosen by measurement, where a study is long enough: real processes, a cheap stand-in trains."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from lrsearch.launch import attach, devices, run_study
from lrsearch.launch import attaching as attaching_module
from lrsearch.launch import run as run_module
from lrsearch.storage import open_ledger
from lrsearch.values import TrialState

SUPPORT = Path(__file__).parents[1] / "support"
ONE_A_CORE, ONE_IN_ALL = ["cpu:0", "cpu:1"], ["cpu"]


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Searches a toy study on two cores; returns what was said, and the slots that its workers had."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
    two_cores = devices.Machine(gpus=(), cores=2, memory_mib=None)
    for module in (run_module, attaching_module):
        monkeypatch.setattr(module, "this_machine", lambda: two_cores)
    url = f"sqlite:///{tmp_path}/toy.db"
    options = {"storage": url, "engine_factory": "worker_toy:workshop", "devices": "cpu"}

    def run(begin=run_study, what="toy.json", **given):
        says = {name: given.pop(name) for name in ("pace", "open", "milliseconds") if name in given}
        if says:
            (tmp_path / "toy.json").write_text(json.dumps(says))
        events = []
        monkeypatch.chdir(tmp_path)
        begin(what, listen=events.append, **options, **given)
        with closing(open_ledger(url)) as ledger:
            study = ledger.study("toy")
            trials = ledger.trials(study.id)
            assert [each.state for each in trials] == [TrialState.COMPLETE] * study.trials
            slots = {each.id: each.slot for each in ledger.workers(study.id)}
        return events, sorted(set(slots.values()))

    run.folder = tmp_path
    return run


def notes(events):
    return [event.facts["text"] for event in events if event.name == "note"]


def test_a_worker_of_all_threads_takes_over_where_it_is_faster(search):
    events, slots = search(pace={"1": 3.0, "2": 7.0}, trials=3, retest=0)
    assert slots == ONE_IN_ALL
    assert "1 worker of 2 threads: 7 batches a second; 2 workers of 1 thread: 6" in notes(events)
    assert [event.facts["slots"] for event in events if event.name == "pool.started"] == [ONE_A_CORE, ONE_IN_ALL]


@pytest.mark.parametrize("wide", [6.5, None], ids=["hardly faster", "cannot say"])
def test_one_worker_a_core_stays_where_the_other_way_is_not_clearly_faster(search, wide):
    events, slots = search(pace={"1": 3.0, "2": wide}, trials=3, retest=0)
    assert slots == ONE_A_CORE
    assert [event.facts["slots"] for event in events if event.name == "pool.started"] == [ONE_A_CORE]


def test_what_was_measured_is_known_to_whoever_goes_on_or_attaches_from_this_machine(search):
    search(pace={"1": 3.0, "2": 7.0}, trials=3, retest=0)
    events, slots = search(trials=6, retest=0)
    assert slots == ONE_IN_ALL
    assert not notes(events)
    with closing(open_ledger(f"sqlite:///{search.folder}/toy.db")) as ledger:
        ledger.set_budget(ledger.study("toy").id, trials=9, timeout_seconds=None)
    events, slots = search(attach, "toy")
    assert slots == ONE_IN_ALL
    assert not notes(events)


@pytest.mark.parametrize("given", [{"milliseconds": 1000.0}, {"workers": 2}], ids=str)
def test_nothing_is_measured_for_a_short_study_or_where_the_caller_has_chosen(search, given):
    events, slots = search(pace={"1": 3.0, "2": 7.0}, trials=3, retest=0, **given)
    assert slots == ONE_A_CORE
    assert not any("threads" in note for note in notes(events))


def test_a_worker_that_fails_as_it_opens_the_study_is_replaced_and_nothing_is_measured_without_it(search):
    events, slots = search(pace={"1": 3.0, "2": 7.0}, open="raise-once", trials=3, retest=0)
    assert "worker.died" not in [event.name for event in events], "it had nothing in hand"
    assert slots == ONE_A_CORE
    assert not any("batches a second" in note for note in notes(events))
