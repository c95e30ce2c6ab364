"""Row scores in the ledger, on every kind of database."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from ledger_tools import add_worker, claim, outcome, plan

from lrsearch.storage.tables import row_scores
from lrsearch.values import RowScores, Status

pytestmark = pytest.mark.slow


def scores(split="validation", rows=90):
    values = (
        np.random.default_rng(rows).gamma(1.0, 1.0, min(rows, 64)).astype(np.float32)
    )
    return RowScores(split=split, values=values, digest=f"of {split}", rows=rows)


def finish(ledger, claimed, *given, **says):
    return ledger.finish(replace(outcome(claimed, **says), row_scores=given), ())


def as_numbers(found):
    """What was read, as plain numbers."""
    return {
        trial: {
            split: (each.split, each.digest, each.rows, each.values.tolist())
            for split, each in splits.items()
        }
        for trial, splits in found.items()
    }


def test_row_scores_are_read_by_trial_and_split_as_they_were_told(ledger):
    study = ledger.create_study(plan())
    worker = add_worker(ledger, study)
    first, second, without = (claim(ledger, study, worker) for _ in range(3))
    told = [scores(), scores("test", 40)], [scores(rows=70)]
    assert finish(ledger, first, *told[0])
    assert finish(ledger, second, *told[1])
    assert finish(ledger, without)
    expected = {
        claimed.trial.id: {each.split: each for each in given}
        for claimed, given in zip((first, second), told, strict=True)
    }
    found = ledger.row_scores(study.id)
    assert as_numbers(found) == as_numbers(expected)
    assert found[first.trial.id]["validation"].values.dtype == np.float32
    assert found[first.trial.id]["validation"].rows == 90  # of which 64 were kept


def test_an_attempt_that_was_fenced_off_stores_none(ledger):
    study = ledger.create_study(plan())
    worker = add_worker(ledger, study)
    claimed = claim(ledger, study, worker)
    assert ledger.lose(claimed.trial.id, claimed.attempt, reason="killed")
    assert not finish(ledger, claimed, scores())
    again = claim(ledger, study, worker)
    assert again.trial.id == claimed.trial.id
    assert ledger.row_scores(study.id) == {}
    assert finish(ledger, again, scores(rows=70))
    assert finish(ledger, again, scores(rows=70)), (
        "its answer was lost, and it is told again"
    )
    assert ledger.row_scores(study.id)[again.trial.id]["validation"].rows == 70


def test_an_interrupted_attempt_stores_none(ledger):
    study = ledger.create_study(plan())
    claimed = claim(ledger, study, add_worker(ledger, study))
    assert finish(ledger, claimed, scores(), status=Status.INTERRUPTED)
    assert ledger.row_scores(study.id) == {}


def test_row_scores_go_with_their_study_and_no_other(ledger):
    studies = [ledger.create_study(plan(name=name)) for name in ("gone", "stays")]
    for study in studies:
        assert finish(ledger, claim(ledger, study, add_worker(ledger, study)), scores())
    gone, stays = studies
    ledger.delete_study(gone.id)
    rows = ledger.database.rows(row_scores.select())
    assert [row.study_id for row in rows] == [stays.id]
    assert len(ledger.row_scores(stays.id)) == 1


def test_the_longest_row_scores_are_stored(ledger):
    study = ledger.create_study(plan())
    values = np.random.default_rng(0).normal(size=4096).astype(np.float32)
    most = RowScores(split="validation", values=values, digest="d", rows=10**9)
    claimed = claim(ledger, study, add_worker(ledger, study))
    assert finish(ledger, claimed, most)
    found = ledger.row_scores(study.id)[claimed.trial.id]["validation"]
    assert (found.values.tobytes(), found.rows) == (values.tobytes(), 10**9)


def test_a_migration_to_row_scores_that_was_cut_short_is_run_again(ledger):
    migration = import_module("lrsearch.storage.migrations.versions.0008_row_scores")
    for _ in range(2):
        with (
            ledger.database.engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            migration.upgrade()
    assert ledger.row_scores(0) == {}
