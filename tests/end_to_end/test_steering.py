"""Steering and looking commands on a real SQLite study, without training: stop, resume,
extend, retry, delete, status, migrate.
"""

from dataclasses import replace

import pytest
from ledger_tools import add_worker, claim, finish, plan, train
from shell import ledger as ledger  # noqa: PLC0414 - a fixture
from shell import run as run  # noqa: PLC0414 - a fixture
from sqlalchemy import text

from lrsearch.cli.run import print_answer
from lrsearch.errors import FingerprintMismatch, NoResult, StudyBroken
from lrsearch.launch.creating import create_or_resume, make_plan
from lrsearch.messages import Inspection
from lrsearch.options import SearchOptions
from lrsearch.values import Status, StudyState


@pytest.fixture
def study(ledger):
    """A study of six trials: one complete, one failed."""
    made = ledger.create_study(plan(trials=6, retest_seeds=0))
    worker = add_worker(ledger, made)
    finish(ledger, claim(ledger, made, worker), value=0.9)
    finish(ledger, claim(ledger, made, worker), status=Status.FAILED, value=None)
    return made


def test_stop_drains_or_interrupts_and_resume_opens_again(run, ledger, study):
    assert run("stop", "toy", "--json") == {
        "study": "toy",
        "state": "draining",
        "running": 0,
    }
    assert ledger.study("toy").state is StudyState.DRAINING
    assert "interrupted" in run("stop", "toy", "--now")
    assert ledger.study("toy").state is StudyState.STOPPED
    assert run("status", "toy", "--json")["state"] == "stopped"
    assert "attach" in run("resume", "toy")
    assert ledger.study("toy").state is StudyState.OPEN


def test_a_study_that_has_ended_is_neither_stopped_nor_opened(run, ledger, study):
    train(ledger, study, add_worker(ledger, study))
    assert run("stop", "toy", "--json") == {
        "study": "toy",
        "state": "finished",
        "running": 0,
    }
    assert "toy is finished: there is nothing to stop" in run("stop", "toy", "--now")
    assert "lrsearch extend toy --trials N" in run("resume", "toy", code=4)
    assert ledger.study("toy").state is StudyState.FINISHED
    run("extend", "toy", "--trials", 1)
    assert ledger.study("toy").state is StudyState.OPEN


def test_a_broken_study_is_told_to_whoever_attaches_and_a_retry_opens_it(run, ledger):
    made = ledger.create_study(plan(trials=2, retest_seeds=0))
    worker = add_worker(ledger, made)
    for _ in range(2):
        finish(ledger, claim(ledger, made, worker), status=Status.FAILED, value=None)
    ledger.set_state(made.id, StudyState.BROKEN, reason="Traceback: line 7")
    assert "lrsearch retry toy --failed" in run("attach", "toy", code=1)
    assert "broken" in run("resume", "toy", code=4), "all its trials have ended"
    assert run("retry", "toy", "--failed", "--json") == {
        "study": "toy",
        "enqueued": [2, 3],
        "state": "open",
    }


def test_what_was_asked_of_a_stopped_study_says_that_it_must_be_resumed(
    run, ledger, study
):
    run("stop", "toy")
    assert "lrsearch resume toy" in run("extend", "toy", "--trials", 1)
    assert "lrsearch resume toy" in run("retry", "toy", "--failed")
    assert "nothing was changed" in run("retry", "toy", "--failed")


def search(ledger, found, *, listen=lambda _event: None, **asked):
    options = SearchOptions(**asked)
    return create_or_resume(
        ledger, options, make_plan(options, "toy", "toy.py", found), listen=listen
    )


def test_starting_a_broken_study_again_without_new_trials_says_why_it_cannot(
    ledger, study
):
    ledger.set_budget(study.id, trials=2)
    ledger.set_state(study.id, StudyState.BROKEN, reason="Traceback: line 7")
    found = Inspection(
        facts=study.plan.facts, dimensions=study.plan.dimensions, references=(), seed=0
    )
    with pytest.raises(StudyBroken, match="retry toy --failed") as raised:
        search(ledger, found)
    assert "line 7" in raised.value.traceback_text
    assert search(ledger, found, trials=7).state is StudyState.OPEN


def test_changes_that_were_accepted_are_recorded_and_stand_in_the_answer(
    run, ledger, study
):
    told = []
    facts = replace(study.plan.facts, fingerprint={"toy": 1, "code.model": "new"})
    found = Inspection(
        facts=facts, dimensions=study.plan.dimensions, references=(), seed=0
    )
    with pytest.raises(FingerprintMismatch, match=r"--accept-change code\.model"):
        search(ledger, found)
    hear = lambda event: told.append(event.message.text)  # noqa: E731
    search(ledger, found, accept_change=("code.model",), listen=hear)
    assert told == ["code.model changed since the study began, and is recorded"]
    search(ledger, found)
    [change] = run("best", "toy", "--json")["changes"]
    assert (change["field"], change["new"], change["trials"]) == (
        "code.model",
        "new",
        2,
    )
    assert "note: code.model changed after 2 trials had begun" in run("best", "toy")


def test_extend_says_the_new_budget_and_wants_to_know_by_how_much(run, study):
    assert run("extend", "toy", "--trials", 4, "--json")["budget"] == 10
    assert "--trials" in run("extend", "toy", code=2)
    run("extend", "toy", "--timeout", "1h")
    assert 3500 < run("status", "toy", "--json")["seconds_left"] <= 3600


def test_retry_queues_failed_settings_and_raises_the_budget(run, study):
    assert run("retry", "toy", "--failed", "--json")["enqueued"] == [2]
    status = run("status", "toy", "--json")
    assert (status["budget"], status["waiting"], status["failed"]) == (7, 1, 1)
    assert run("retry", "toy", "--failed", "--json") == {
        "study": "toy",
        "enqueued": [],
        "state": "open",
    }


def test_delete_asks_and_leaves_nothing_not_even_checkpoints(run, study, tmp_path):
    folder = tmp_path / "lrsearch-checkpoints" / f"toy-{int(study.created_at):x}" / "1"
    folder.mkdir(parents=True)
    assert "Aborted" in run("delete", "toy", code=1, answer="n\n")
    assert run("studies", "--json")
    assert "deleted" in run("delete", "toy", answer="y\n")
    assert run("studies", "--json") == []
    assert not folder.exists()


def test_delete_is_refused_while_a_worker_trains(run, ledger, study):
    claim(ledger, study, add_worker(ledger, study))
    assert "stop --now" in run("delete", "toy", "--yes", code=4)


def test_status_watches_until_the_end_and_puts_back_what_lapsed(run, ledger, study):
    worker = add_worker(ledger, study)
    claim(ledger, study, worker, lease_seconds=0.0)
    assert run("status", "toy", "--json")["running"] == 0, "a look reaps"
    train(ledger, study, worker)
    text = run("status", "toy", "--watch")
    assert "finished" in text
    assert "6 of 6 done" in text


def test_status_says_what_to_do_where_nobody_works(run, study):
    text = run("status", "toy")
    assert "best     0.9000" in text
    assert "1 failed" in text


def test_trials_and_show_tell_of_failures(run, study):
    rows = run("trials", "toy", "--json")
    assert [each["state"] for each in rows[:2]] == ["complete", "failed"]
    assert "failed" in run("show", "toy", "1")
    assert run("show", "toy", "1", "--json")["attempt_list"][0]["status"] == "failed"


def test_workers_are_listed_with_versions(run, study):
    [row] = run("workers", "toy", "--json")
    assert (row["host"], row["slot"], row["versions"]) == (
        "here",
        "cpu:0",
        {"lrsearch": "0"},
    )
    assert "here" in run("workers", "toy")


def test_migrate_finds_nothing_to_do_and_refuses_what_it_does_not_know(
    run, ledger, study
):
    found = run("migrate", "--json")
    assert found["before"] == found["after"]
    newer = text("update lrsearch_alembic_version set version_num = '9999'")
    ledger.database.transact(lambda tx: tx.execute(newer))
    assert "newer lrsearch" in run("migrate", code=4)
    assert "9999" in run("studies", code=4)


def test_best_and_plot_of_a_study_without_a_result_say_so(run, ledger):
    ledger.create_study(plan(name="new"))
    assert "No trial" in run("best", "new")
    assert run("best", "new", "--json")["trial"] is None
    assert "status" in run("export", "new", code=2)
    assert "without a finished trial" in run("plot", "new", "-o", "pictures", code=2)


def test_a_search_that_found_nothing_to_compare_ends_with_code_1(run, ledger):
    """`start-study` and `attach` end alike: by what the ledger says."""
    endings = {
        "nothing": (
            [Status.FAILED, Status.DIVERGED],
            "no trial ran to its end with a value",
        ),
        "hollow": ([Status.COMPLETE, Status.FAILED], "no searched trial ran well"),
        "good": ([Status.FAILED, Status.COMPLETE], ""),
    }
    for name, (statuses, words) in endings.items():
        made = ledger.create_study(plan(name=name, trials=2, retest_seeds=0))
        worker = add_worker(ledger, made)
        for status in statuses:
            finish(
                ledger,
                claim(ledger, made, worker),
                status=status,
                value=0.5 if status is Status.COMPLETE else None,
            )
        assert ledger.study(name).state is StudyState.OPEN
        print_answer(name, None, as_json=False)  # only a study that is done is judged
        ledger.claim(made.id, worker, lease_seconds=60.0)
        assert words in run("attach", name, code=1 if words else 0)
        if words:
            with pytest.raises(NoResult, match=words):
                print_answer(name, None, as_json=False)


def test_no_studies_yet(run, ledger):
    assert "start-study" in run("studies")
