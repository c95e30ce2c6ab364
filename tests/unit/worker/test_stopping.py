"""A stop request: heard by whoever rests, and the first reason stays."""

import threading
import time

from lrsearch.worker.stopping import StopRequest


def rest_of(stop):
    resting = threading.Thread(target=stop.rest, args=(3600.0,), daemon=True)
    resting.start()
    return resting


def test_who_rests_is_woken_to_look_for_work():
    stop = StopRequest()
    resting = rest_of(stop)
    stop.wake()
    resting.join(timeout=10)
    assert not resting.is_alive()
    assert stop.reason == ""


def test_a_stop_ends_this_rest_and_every_later_one_and_keeps_its_first_reason():
    stop = StopRequest()
    resting = rest_of(stop)
    stop.stop("SIGTERM")
    stop.stop("the study was stopped")
    resting.join(timeout=10)
    stop.rest(3600.0)
    assert not resting.is_alive()
    assert stop.reason == "SIGTERM"


def test_a_stop_that_comes_a_moment_later_is_waited_for():
    stop = StopRequest()
    threading.Timer(0.02, stop.stop, ("SIGINT",)).start()
    assert stop.comes_within_a_moment()
    began = time.monotonic()
    assert not StopRequest().comes_within_a_moment()
    assert time.monotonic() - began < 5
