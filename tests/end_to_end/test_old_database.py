"""A database that version 0.1.0 made: its studies open, resume and answer, by what they stored."""

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from lrsearch.cli.main import cli
from lrsearch.definition import (
    accept_changes,
    fingerprint_of,
    load_study_file,
    recorded_of,
)
from lrsearch.errors import FingerprintMismatch, SchemaMismatch
from lrsearch.storage import migrate_database, open_ledger
from lrsearch.values import Kind, StudyState
from lrsearch.version import versions

pytestmark = pytest.mark.slow
FIXTURE = Path(__file__).parents[1] / "fixtures" / "v0_1_0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy, and the working folder."""
    copied = tmp_path / "studies"
    shutil.copytree(FIXTURE, copied)
    monkeypatch.chdir(copied)
    monkeypatch.setenv("LRSEARCH_STORAGE", f"sqlite:///{copied}/studies.db")
    return copied


@pytest.fixture
def ledger(folder):
    migrate_database(f"sqlite:///{folder}/studies.db")
    opened = open_ledger(f"sqlite:///{folder}/studies.db")
    yield opened
    opened.close()


def lrsearch(*arguments, code=0):
    done = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def here(definition, study, **changed):
    """What a look at the study file finds, its data and model being as they were."""
    measured = {
        name: value
        for name, value in study.fingerprint.items()
        if name.startswith(("model.", "data."))
    }
    found = {
        "fingerprint": fingerprint_of(definition) | measured,
        "recorded": recorded_of(definition),
        "versions": versions(),
    }
    return replace(study.plan.facts, **(found | changed))


def test_its_tables_are_migrated_only_when_asked_to(folder):
    before = (folder / "studies.db").read_bytes()
    with pytest.raises(SchemaMismatch, match="lrsearch migrate"):
        lrsearch("best", "ended")
    assert (folder / "studies.db").read_bytes() == before
    assert "schema 0002 ->" in lrsearch("migrate")
    with sqlite3.connect(folder / "studies.db") as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_study_that_it_ended_is_answered_by_its_values(ledger):
    best = json.loads(lrsearch("best", "ended", "--json"))
    assert (best["trial"], best["optimizer"], best["retest"]["n"], best["changes"]) == (
        9,
        "momentum",
        2,
        [],
    )
    assert best["value"] == pytest.approx(0.326, abs=5e-4)


@pytest.mark.parametrize("name", ["begun", "ended"])
def test_its_studies_know_their_files_again_and_refuse_others(folder, ledger, name):
    study = ledger.study(name)
    assert study.plan.facts.versions["python"].startswith("3.11")
    definition = load_study_file(folder / f"{name}.py")
    assert accept_changes(study, here(definition, study))[0] == []
    text = (folder / f"{name}.py").read_text()
    (folder / f"{name}.py").write_text(text.replace('"tanh"', '"relu"'))
    edited = load_study_file(folder / f"{name}.py")
    under_3_11 = versions() | {"python": "3.11.0"}
    with pytest.raises(FingerprintMismatch, match="--accept-change code,"):
        accept_changes(study, here(edited, study, versions=under_3_11))
    [change], _ = accept_changes(
        study, here(edited, study, versions=under_3_11), accept=["code"]
    )
    kept = ledger.record_changes(study.id, [change])
    assert accept_changes(kept, here(edited, study, versions=under_3_11))[0] == []


def test_its_studies_are_taken_up_under_another_python_saying_what_cannot_be_compared(
    folder, ledger
):
    study = ledger.study("begun")
    definition = load_study_file(folder / "begun.py")
    changes, notes = accept_changes(
        study, here(definition, study, versions=versions() | {"python": "3.12.1"})
    )
    assert changes == []
    assert "cannot be compared" in notes[0]


@pytest.mark.tensorflow
def test_a_study_that_it_stopped_goes_on_from_its_checkpoints_and_ends(folder, ledger):
    waiting = [
        each
        for each in ledger.trials(ledger.study("begun").id)
        if not each.state.terminal
    ]
    before = {
        each.id: (each.value, each.reason)
        for each in ledger.trials(ledger.study("begun").id)
        if each.state.terminal
    }
    lrsearch("resume", "begun")
    attach = [
        "attach",
        "begun",
        "--workers",
        1,
        "--checkpoints",
        folder / "checkpoints",
        "--log-file",
        "events.jsonl",
        "-q",
    ]
    lrsearch(*attach)
    study = ledger.study("begun")
    events = [
        json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()
    ]
    resumed = {
        each["number"]: each["resumed_from"]
        for each in events
        if each["event"] == "trial.started" and each["resumed_from"]
    }
    assert study.state is StudyState.FINISHED
    assert len(waiting) == 2
    assert {each.number for each in waiting} == set(resumed), "from their checkpoints"
    after = {each.id: (each.value, each.reason) for each in ledger.trials(study.id)}
    assert {each: after[each] for each in before} == before
    assert len(ledger.trials(study.id, kind=Kind.SEARCH)) == 40
    assert json.loads(lrsearch("best", "begun", "--json"))["retest"]["n"] == 3


def test_a_study_that_it_ended_can_be_extended(ledger):
    assert json.loads(lrsearch("extend", "ended", "--trials", 2, "--json")) == {
        "study": "ended",
        "budget": 14,
        "trainings": None,
        "state": "open",
    }


def test_its_studies_take_more_retests(ledger):
    before = ledger.counts(ledger.study("ended").id).retests
    told = json.loads(
        lrsearch("retest", "ended", "--seeds", 5, "--top", 1, "--plan-only", "--json")
    )
    assert (told["state"], told["seeds"]) == ("open", 5)
    study = ledger.study("ended")
    assert ledger.counts(study.id).retests == before + told["added"] > before
    assert (study.plan.retest_top, study.plan.retests_only) == (3, True)


@pytest.mark.parametrize("name", ["begun", "ended"])
def test_its_studies_have_a_report(folder, ledger, name):
    lrsearch("report", name, "-o", "report.html")
    assert f"<h1>{name}</h1>" in (folder / "report.html").read_text(encoding="utf-8")
