"""Notes for the dashboard: written once, renewed when they change, and left alone where somebody edited them."""

import optuna
from ledger_tools import add_worker, plan, train
from optuna_dashboard import get_note, save_note

from lrsearch.answer import summarise
from lrsearch.report import write_notes
from lrsearch.storage import Mirror, open_ledger


def test_notes_are_renewed_and_an_edited_one_stays(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/n.db", create=True)
    study = ledger.create_study(plan(trials=3, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    Mirror(ledger).sync(study.id)
    storage, records = ledger.optuna_storage(), ledger.trials(study.id)
    answer = summarise(study, records)
    assert write_notes(storage, "toy", answer, records) == 4, "three trials and the study"
    assert write_notes(storage, "toy", answer, records) == 0, "nothing changed"
    theirs = optuna.load_study(study_name="toy", storage=storage)
    assert "lrsearch best toy" in get_note(theirs)
    save_note(theirs, "my own words")
    assert write_notes(storage, "toy", answer, records) == 0
    assert get_note(theirs) == "my own words"
    ledger.close()
