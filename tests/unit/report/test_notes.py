"""Notes for the dashboard: written once and together, renewed when they change, left
alone where somebody edited them.
"""

import re
import time
from dataclasses import replace

import optuna
import pytest
from ledger_tools import add_worker, plan, setting, train
from optuna_dashboard import get_note, save_note
from sqlalchemy import event

from lrsearch.answer import summarise
from lrsearch.dashboard.note_keeper import NoteWriter
from lrsearch.dashboard.study_views import StudyViews
from lrsearch.report.notes import study_note, trial_note, write_notes
from lrsearch.storage import Mirror, open_ledger
from lrsearch.values import Kind, Origin, TrialRecord, TrialState


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.slow),
        pytest.param("mariadb", marks=pytest.mark.slow),
    ]
)
def ledger(request, new_database):
    opened = open_ledger(new_database(request.param), create=True)
    yield opened
    opened.close()


def trained(ledger, name="toy", trials=3):
    study = ledger.create_study(plan(name=name, trials=trials, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    Mirror(ledger).complete(study.id)
    return ledger.study(name)


def test_notes_are_renewed_and_an_edited_one_stays(ledger):
    study = trained(ledger)
    records = ledger.trials(study.id)
    answer = summarise(study, records)
    assert write_notes(ledger, study, answer, records) == 4, (
        "three trials and the study"
    )
    assert write_notes(ledger, study, answer, records) == 0, "nothing changed"
    theirs = optuna.load_study(study_name="toy", storage=ledger.optuna_storage())
    assert "lrsearch best toy" in get_note(theirs)
    longer = [
        replace(each, traceback_text="x" * 5000 if each.number == 1 else "")
        for each in records
    ]
    assert write_notes(ledger, study, answer, longer) == 1
    note = get_note(optuna.trial.Trial(theirs, theirs.trials[1]._trial_id))
    assert note.count("x") >= 3000, "a note of several rows is whole"
    assert write_notes(ledger, study, answer, records) == 1, (
        "and the rows that a shorter one leaves are empty"
    )
    assert "xxx" not in get_note(optuna.trial.Trial(theirs, theirs.trials[1]._trial_id))
    save_note(theirs, "my own words")
    save_note(optuna.trial.Trial(theirs, theirs.trials[2]._trial_id), "mine too")
    assert write_notes(ledger, study, answer, records) == 0
    assert get_note(theirs) == "my own words"


def test_all_notes_of_a_study_are_one_transaction_of_a_few_statements(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/n.db", create=True)
    study = trained(ledger, trials=24)
    records = ledger.trials(study.id)
    answer, statements = summarise(study, records), []
    event.listen(
        ledger.database.engine,
        "before_cursor_execute",
        lambda *told: statements.append(told[2]),
    )
    assert write_notes(ledger, study, answer, records) == 25
    assert len(statements) <= 8, statements
    ledger.close()


def test_the_keeper_writes_what_is_new_and_once_more_when_optunas_rows_came_late(
    tmp_path,
):
    ledger = open_ledger(f"sqlite:///{tmp_path}/n.db", create=True)
    study, keeper = trained(ledger), NoteWriter(ledger, StudyViews(ledger))
    assert [keeper.look() for _ in range(3)] == [4, 0, 0]
    assert keeper._again == set()
    theirs = optuna.load_study(study_name="toy", storage=ledger.optuna_storage())
    assert "spent: 3 trainings, " in get_note(theirs), (
        "as `lrsearch best` and `status` say it"
    )
    other = ledger.create_study(plan(name="other", trials=2, retest_seeds=0))
    train(ledger, other, add_worker(ledger, other))
    assert keeper.look() == 3
    ledger.delete_study(study.id)
    assert keeper.look() == 0
    ledger.close()


def test_the_keeper_writes_notes_of_trials_whose_rows_another_look_made(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("lrsearch.storage.mirror.LIMIT", 20)
    ledger = open_ledger(f"sqlite:///{tmp_path}/n.db", create=True)
    study = ledger.create_study(plan(name="behind", trials=50, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    keeper = NoteWriter(ledger, StudyViews(ledger))
    assert [keeper.look() for _ in range(5)] == [21, 20, 10, 0, 0]
    ledger.close()


def record(**more):
    known = {
        "id": 1, "number": 3, "kind": Kind.SEARCH, "origin": Origin.SAMPLED, "state": TrialState.FAILED, "setting": setting(), "seed": 1,
    }  # fmt: skip
    return TrialRecord(**(known | more))


def outside_fences(note):
    """The lines of a note that are read as Markdown, as CommonMark fences code: a fence
    is ended by one at least as long.
    """
    left, fence = [], ""
    for line in note.splitlines():
        if fence:
            fence = (
                ""
                if set(line.strip()) == {"`"} and len(line.strip()) >= len(fence)
                else fence
            )
        elif found := re.match("`{3,}", line):
            fence = found[0]
        else:
            left.append(line)
    assert not fence, "every fence is closed"
    return left


@pytest.mark.parametrize(
    "text",
    [
        "```\n# big\n![x](http://evil/x.png)",
        "`````\n<b>",
        "````",
        "a `b` **c**\n\n# d\n[e](f)",
        "~~~\n# x",
    ],
)
def test_what_the_studys_code_said_never_leaves_its_fence(text):
    note = trial_note(
        record(reason=text, traceback_text=f"Traceback\n{text}\nend", notes=(text,)),
        "val_*x*_`y",
    )
    markdown = outside_fences(note)
    assert not [
        line
        for line in markdown
        if line.startswith("#") or "evil" in line or "[e]" in line or "<b>" in line
    ]
    assert note.count(text.splitlines()[0]) >= 3
    assert any(line.startswith("``val_*x*_`y`` -") for line in markdown)


def test_a_studys_name_cannot_leave_its_fence_either(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/n.db", create=True)
    study = trained(ledger, name="a ```` # b")
    note = study_note(summarise(study, ledger.trials(study.id)))
    assert outside_fences(note)[1:2] == [
        "The same in a terminal: `````lrsearch best 'a ```` # b'`````"
    ]
    ledger.close()


def test_the_study_note_says_where_the_pages_own_best_is_another(study_and_retests):
    study, records = study_and_retests
    assert "best single training: 1" in study_note(summarise(study, records))
    assert "best single training" not in study_note(
        summarise(study, [each for each in records if each.kind is Kind.SEARCH])
    )


@pytest.fixture
def study_and_retests(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/n.db", create=True)
    study = trained(ledger)
    searched = [
        replace(each, value={0: 0.7, 1: 0.9, 2: 0.8}[each.number])
        for each in ledger.trials(study.id)
    ]
    retests = [
        replace(
            each,
            id=10 + each.id,
            kind=Kind.RETEST,
            parent=each.number,
            repeat=0,
            value=value,
        )
        for each, value in zip(searched, (0.7, 0.75, 0.8), strict=True)
    ]
    yield study, [*searched, *retests]
    ledger.close()


def test_a_thousand_notes_take_seconds(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/n.db", create=True)
    study = trained(ledger, trials=30)
    [some, *_] = ledger.trials(study.id)
    records = [replace(some, number=number % 30, id=number) for number in range(2000)]
    began = time.monotonic()
    write_notes(ledger, study, summarise(study, records), records)
    assert time.monotonic() - began < 5.0
    ledger.close()
