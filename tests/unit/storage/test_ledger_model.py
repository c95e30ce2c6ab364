"""Drill 20: the ledger against a model of it, step by step, on a virtual clock, in
whatever order Hypothesis thinks of.
"""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from ledger_tools import add_worker, outcome, plan, setting
from sqlalchemy import literal

from lrsearch.storage import Claim, Done, Wait, open_ledger
from lrsearch.values import Status, TrialState

LEASE = 10.0
ENDS = [Status.COMPLETE, Status.DIVERGED, Status.PRUNED, Status.FAILED]


class LedgerModel(RuleBasedStateMachine):
    """What we know of a study: who holds what until when, what ended how, and how often
    each was lost.
    """

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="lrs-model-")
        self.at = 1000.0
        self.ledger = open_ledger(
            f"sqlite:///{Path(self.folder.name, 'm.db')}",
            create=True,
            clock=literal(self.at),
        )
        self.held = {}  # trial id -> (claim, lease end)
        self.stale = []  # claims that were lost
        self.ended = {}  # trial id -> (state, value)
        self.lost = {}
        self.known = set()

    @initialize(
        budget=st.integers(1, 5), retries=st.integers(0, 2), first=st.booleans()
    )
    def begin(self, budget, retries, first):
        self.budget, self.retries = budget, retries
        self.study = self.ledger.create_study(
            plan(
                trials=budget,
                retries=retries,
                retest_seeds=0,
                **({} if first else {"first": ()}),
            )
        )
        self.worker = add_worker(self.ledger, self.study)

    def teardown(self):
        self.ledger.close()
        self.folder.cleanup()

    def _lapse(self):
        """What a reaping does to the model."""
        for trial, (claimed, until) in list(self.held.items()):
            if until < self.at:
                self._lose(trial, claimed)

    def _lose(self, trial, claimed):
        del self.held[trial]
        self.stale.append(claimed)
        self.lost[trial] = self.lost.get(trial, 0) + 1
        if self.lost[trial] > self.retries:
            self.ended[trial] = (TrialState.FAILED, None)

    @rule(seconds=st.floats(0.5, 15.0))
    def time_passes(self, seconds):
        self.at += seconds
        self.ledger.database.clock = literal(self.at)

    @rule()
    def claim(self):
        answer = self.ledger.claim(self.study.id, self.worker, lease_seconds=LEASE)
        self._lapse()
        if isinstance(answer, Claim):
            trial = answer.trial.id
            assert trial not in self.held
            assert trial not in self.ended
            assert len(self.ended) + len(self.held) < self.budget
            self.held[trial] = (answer, self.at + LEASE)
            self.known.add(trial)
            chosen = answer.trial.setting or setting()
            assert self.ledger.bind(
                trial,
                answer.attempt,
                setting=chosen,
                params={"learning_rate": 0.01},
                seed=1,
            )
        elif isinstance(answer, Wait):
            assert self.held
        else:
            assert isinstance(answer, Done)
            assert len(self.ended) == self.budget

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew_leases(self, data):
        trial = data.draw(st.sampled_from(sorted(self.held)))
        claimed, _ = self.held[trial]
        assert not self.ledger.renew_leases(
            [(trial, claimed.attempt)], worker_id=self.worker, lease_seconds=LEASE
        ).lost
        self.held[trial] = (claimed, self.at + LEASE)

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        status=st.sampled_from([*ENDS, Status.INTERRUPTED]),
        value=st.floats(0, 1),
    )
    def finish(self, data, status, value):
        trial = data.draw(st.sampled_from(sorted(self.held)))
        claimed, _ = self.held.pop(trial)
        assert self.ledger.finish(outcome(claimed, status=status, value=value), [])
        if status is not Status.INTERRUPTED:
            self.ended[trial] = (TrialState(status.value), value)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), value=st.floats(2, 3))
    def a_zombie_writes(self, data, value):
        claimed = data.draw(st.sampled_from(self.stale))
        assert not self.ledger.finish(outcome(claimed, value=value), [])
        renewal = self.ledger.renew_leases(
            [(claimed.trial.id, claimed.attempt)],
            worker_id=self.worker,
            lease_seconds=LEASE,
        )
        assert renewal.lost == {claimed.trial.id}

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def its_parent_reports_a_death(self, data):
        trial = data.draw(st.sampled_from(sorted(self.held)))
        claimed, _ = self.held[trial]
        assert self.ledger.lose(trial, claimed.attempt, reason="killed")
        self._lose(trial, claimed)

    @rule()
    def somebody_looks(self):
        lapsed = sum(until < self.at for _, until in self.held.values())
        assert self.ledger.reap() == lapsed
        self._lapse()

    @rule(more=st.integers(1, 2))
    def extend(self, more):
        if self.budget < 8:
            self.budget = self.ledger.extend(self.study.id, trials=more).trials

    @invariant()
    def the_ledger_is_as_the_model(self):
        if not hasattr(self, "study"):
            return
        records = {each.id: each for each in self.ledger.trials(self.study.id)}
        counts = self.ledger.counts(self.study.id)
        assert counts.done == len(self.ended)
        assert counts.running == len(self.held)
        assert counts.total <= self.budget
        assert sorted(each.number for each in records.values()) == list(
            range(len(records))
        )
        for trial, (state, value) in self.ended.items():
            assert (records[trial].state, records[trial].value) == (state, value)
        for trial, number in self.lost.items():
            assert records[trial].lost == number


LedgerModel.TestCase.settings = settings(
    max_examples=int(os.environ.get("LRSEARCH_MODEL_EXAMPLES", "12")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLedgerModel = LedgerModel.TestCase
