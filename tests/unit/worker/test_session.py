"""The worker around its engine needs no TensorFlow, which takes seconds to load: a
stand-in trains without it.
"""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from lrsearch.storage import Done, Wait
from lrsearch.worker.session import StudySession
from lrsearch.worker.stopping import StopRequest


def test_the_session_loads_without_tensorflow():
    code = "import lrsearch.worker.session, sys; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def leave(until, answers, *, lease_seconds=0.3):
    """How long a session lasted, and its reason, where claims are answered so."""
    trials = SimpleNamespace(claim=None, watch=None, save=None, answer=None)

    def train(_claim, _watch, _save):
        trials.answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return ()

    session = StudySession(
        trials=trials,
        engine=SimpleNamespace(train=train),
        stop=StopRequest(),
        lease_seconds=lease_seconds,
    )
    began = time.monotonic()
    return session.train(until=until), time.monotonic() - began


def test_a_worker_that_nobody_needs_leaves_once_no_lost_trial_can_come_back():
    reason, seconds = leave("unneeded", [Wait(0.01)])
    assert reason == "nothing to train now"
    assert seconds >= 0.3


@pytest.mark.parametrize("until", ["done", "unneeded"])
def test_a_worker_stays_while_something_may_come_back(until):
    waits = [Wait(0.01)] * 5
    assert leave(until, [*waits, Done("finished")], lease_seconds=60)[0] == "finished"


def test_an_idle_worker_leaves_at_once():
    assert leave("idle", [Wait(60.0)])[1] < 0.3
