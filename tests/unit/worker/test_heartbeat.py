"""The heartbeat: goes on through outages, learns of lost leases and of the study's end,
and never mixes attempts up.
"""

import threading
import time
from types import SimpleNamespace

from lrsearch.errors import StorageGone, StorageUnavailable
from lrsearch.values import StudyState, Verdict
from lrsearch.worker.heartbeat import Heartbeat
from lrsearch.worker.stopping import StopRequest


class Ledger:
    """Renews leases as told; tells when it was asked."""

    def __init__(self):
        self.lost, self.state, self.away = frozenset(), StudyState.OPEN, 0
        self.asked, self.answered = [], threading.Semaphore(0)

    def renew_leases(self, holds):
        self.asked.append(tuple(holds))
        self.answered.release()
        if self.away:
            self.away -= 1
            raise StorageUnavailable("away")
        return SimpleNamespace(lost=self.lost, study_state=self.state)

    def wait(self, count):
        for _ in range(count):
            assert self.answered.acquire(timeout=10)


def start_heartbeat(ledger, *, report=lambda _text: None):
    """A heartbeat that renews every hundredth of a second, and its stop request."""
    stop = StopRequest()
    return Heartbeat(ledger.renew_leases, stop, lease_seconds=0.03, report=report), stop


def test_it_renews_the_leases_that_it_holds():
    ledger = Ledger()
    heartbeat, _ = start_heartbeat(ledger)
    heartbeat.hold(1, 1)
    with heartbeat:
        ledger.wait(3)
    assert ledger.asked[0] == ((1, 1),)
    assert heartbeat.verdict(1, 1) is Verdict.KEEP


def test_it_renews_no_lease_that_was_released_and_none_after_its_end():
    ledger = Ledger()
    heartbeat, _ = start_heartbeat(ledger)
    heartbeat.hold(1, 1)
    heartbeat.hold(2, 1)
    heartbeat.release(1, 1)
    with heartbeat:
        ledger.wait(2)
    asked = list(ledger.asked)
    time.sleep(0.05)
    assert set(asked) == {((2, 1),)}
    assert ledger.asked == asked


def test_it_goes_on_through_an_outage_and_says_so():
    ledger, said = Ledger(), []
    ledger.away = 2
    heartbeat, _ = start_heartbeat(ledger, report=said.append)
    with heartbeat:
        ledger.wait(4)
    assert said == ["no heartbeat: away"] * 2


def test_a_lost_lease_is_lost_for_that_attempt_only():
    ledger = Ledger()
    ledger.lost = frozenset({1})
    heartbeat, _ = start_heartbeat(ledger)
    heartbeat.hold(1, 1)
    heartbeat.hold(2, 1)
    with heartbeat:
        ledger.wait(2)
    assert heartbeat.verdict(1, 1) is Verdict.LOST
    assert heartbeat.verdict(1, 2) is Verdict.KEEP
    assert heartbeat.verdict(2, 1) is Verdict.KEEP


def test_an_answer_to_an_older_renewal_loses_nothing_that_is_held_anew():
    ledger = Ledger()
    ledger.lost = frozenset({1})

    def renew(holds):
        if ledger.asked:
            ledger.lost = frozenset()
        else:  # while the answer travels, the trial is given back and claimed anew
            heartbeat.release(1, 1)
            heartbeat.hold(1, 2)
        return ledger.renew_leases(holds)

    heartbeat = Heartbeat(renew, StopRequest(), lease_seconds=0.03)
    heartbeat.hold(1, 1)
    with heartbeat:
        ledger.wait(2)
    assert ledger.asked[0] == ((1, 1),)
    assert heartbeat.verdict(1, 2) is Verdict.KEEP


def test_a_stopped_study_interrupts_and_wakes_who_rests():
    ledger = Ledger()
    ledger.state = StudyState.STOPPED
    heartbeat, stop = start_heartbeat(ledger)
    with heartbeat:
        stop.rest(10.0)  # returns at once when the renewal has been answered
    assert stop.reason == "the study was stopped"
    assert heartbeat.verdict(1, 1) is Verdict.INTERRUPT


def test_a_draining_study_lets_running_trials_end():
    ledger = Ledger()
    ledger.state = StudyState.DRAINING
    heartbeat, stop = start_heartbeat(ledger)
    with heartbeat:
        ledger.wait(2)
    assert (heartbeat.verdict(1, 1), stop.reason) == (Verdict.KEEP, "")


def test_a_fenced_write_loses_the_lease_too():
    heartbeat, _ = start_heartbeat(Ledger())
    heartbeat.hold(1, 3)
    heartbeat.lose(1, 3)
    assert heartbeat.verdict(1, 3) is Verdict.LOST
    heartbeat.release(1, 3)
    assert heartbeat.verdict(1, 3) is Verdict.KEEP


def test_a_database_file_that_is_gone_ends_the_work_at_once():
    def renew(_holds):
        raise StorageGone("toy.db was deleted")

    stop = StopRequest()
    heartbeat = Heartbeat(renew, stop, lease_seconds=0.03)
    heartbeat.hold(1, 1)
    with heartbeat:
        stop.rest(10)
    assert heartbeat.verdict(1, 1) is Verdict.INTERRUPT
    assert stop.reason == "toy.db was deleted"
