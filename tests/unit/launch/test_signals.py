"""Signals to a parent of workers: the first asks, and what was told to outlive its terminal does."""

import os
import signal

import pytest

from lrsearch.launch.signals import Signals


@pytest.fixture
def hangup():
    """Sets what SIGHUP does; what it did before comes back."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("before", "heard"), [(signal.SIG_DFL, [signal.SIGHUP]), (signal.SIG_IGN, [])], ids=["plain", "nohup"])
def test_a_hangup_asks_unless_it_is_ignored(hangup, before, heard):
    hangup(before)
    asked = []
    with Signals(first=asked.append, second=lambda: None):
        os.kill(os.getpid(), signal.SIGHUP)
    assert asked == heard
    assert signal.getsignal(signal.SIGHUP) is before
