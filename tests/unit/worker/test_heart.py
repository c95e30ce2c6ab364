"""The heartbeat: goes on through outages, learns of lost leases and of the study's end, and never
mixes attempts up.
"""

import threading
from types import SimpleNamespace

from lrsearch.errors import StorageGone, StorageUnavailable
from lrsearch.values import StudyState, Verdict
from lrsearch.worker.heart import Heart


class Ledger:
    """Answers beats as told; tells when it was beaten."""

    def __init__(self):
        self.lost, self.state, self.away = frozenset(), StudyState.OPEN, 0
        self.beats, self.beaten = [], threading.Semaphore(0)

    def beat(self, holds):
        self.beats.append(tuple(holds))
        self.beaten.release()
        if self.away:
            self.away -= 1
            raise StorageUnavailable("away")
        return SimpleNamespace(lost=self.lost, study_state=self.state)

    def wait(self, count):
        for _ in range(count):
            assert self.beaten.acquire(timeout=10)


def test_it_beats_for_what_it_holds():
    ledger = Ledger()
    heart = Heart(ledger.beat, lease_seconds=0.03)
    heart.hold(1, 1)
    heart.start()
    ledger.wait(3)
    heart.close()
    assert ledger.beats[0] == ((1, 1),)
    assert heart.verdict(1, 1) is Verdict.KEEP


def test_it_goes_on_through_an_outage_and_says_so():
    ledger, said = Ledger(), []
    ledger.away = 2
    heart = Heart(ledger.beat, lease_seconds=0.03, trouble=said.append)
    heart.start()
    ledger.wait(4)
    heart.close()
    assert said == ["no heartbeat: away"] * 2


def test_a_lost_lease_is_lost_for_that_attempt_only():
    ledger = Ledger()
    ledger.lost = frozenset({1})
    heart = Heart(ledger.beat, lease_seconds=0.03)
    heart.hold(1, 1)
    heart.hold(2, 1)
    heart.start()
    ledger.wait(2)
    heart.close()
    assert heart.verdict(1, 1) is Verdict.LOST
    assert heart.verdict(1, 2) is Verdict.KEEP
    assert heart.verdict(2, 1) is Verdict.KEEP


def test_a_stopped_study_interrupts_and_wakes_who_rests():
    ledger = Ledger()
    ledger.state = StudyState.STOPPED
    heart = Heart(ledger.beat, lease_seconds=0.03)
    heart.start()
    heart.rest(10.0)  # returns at once when the beat has been answered
    heart.close()
    assert heart.stopping == "the study was stopped"
    assert heart.verdict(1, 1) is Verdict.INTERRUPT


def test_a_draining_study_lets_running_trials_end():
    ledger = Ledger()
    ledger.state = StudyState.DRAINING
    heart = Heart(ledger.beat, lease_seconds=0.03)
    heart.start()
    ledger.wait(2)
    heart.close()
    assert heart.verdict(1, 1) is Verdict.KEEP


def test_a_fenced_write_is_as_good_as_a_beat():
    heart = Heart(Ledger().beat, lease_seconds=1.0)
    heart.hold(1, 3)
    heart.lose(1, 3)
    assert heart.verdict(1, 3) is Verdict.LOST
    heart.release(1, 3)
    assert heart.holds == ()


def test_who_rests_is_woken_to_look_for_work():
    heart = Heart(Ledger().beat, lease_seconds=30.0)
    resting = threading.Thread(target=heart.rest, args=(3600.0,), daemon=True)
    resting.start()
    heart.wake()
    resting.join(timeout=10)
    assert not resting.is_alive()
    assert heart.stopping == ""


def test_a_database_file_that_is_gone_ends_the_work_at_once():
    def beat(_holds):
        raise StorageGone("toy.db was deleted")

    heart = Heart(beat, lease_seconds=0.03)
    heart.hold(1, 1)
    heart.start()
    heart.rest(10)
    assert heart.verdict(1, 1) is Verdict.INTERRUPT
    assert heart.stopping == "toy.db was deleted"
    heart.close()
