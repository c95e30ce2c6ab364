"""The rates of an attempt's updates: kept, checked against the schedule, and gone on from."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
from lrsearch.engine.rate_log import RateLog
from lrsearch.values import AppliedRates

PLANNED = np.array([0.1, 0.4, 0.3, 0.2])


def entered(*calls, planned=PLANNED, accumulation=1):
    log = RateLog(planned, accumulation)
    for batch, used in calls:
        log.enter(batch, np.array(used, np.float32))
    return log


def test_the_first_the_highest_and_the_last_rate_are_kept():
    log = entered((0, [0.1, 0.4]), (2, [0.3, 0.2]))
    assert log.applied == AppliedRates(
        first=pytest.approx(0.1), peak=pytest.approx(0.4), last=pytest.approx(0.2)
    )
    assert log.fault == ""
    assert entered().applied is None
    assert entered((0, [np.nan, np.nan])).applied is None


def test_a_rate_that_is_not_the_schedules_is_named_with_its_update():
    log = entered((0, [0.1, 0.4, 0.25, 0.1]))
    assert log.fault == (
        "the learning rate of update 3 was 0.25, where the schedule says 0.3"
    )
    assert entered((0, [9.0]), planned=None).fault == "", "nothing is known of yours"


def test_batches_of_one_update_share_its_rate():
    assert entered((0, [0.1, 0.1, 0.4, 0.4]), accumulation=2).fault == ""
    assert "update 2 " in entered((0, [0.1, 0.1, 0.4, 0.3]), accumulation=2).fault


def test_batches_beyond_the_last_update_keep_its_rate():
    assert entered((0, [*PLANNED, 0.2])).fault == ""


def test_another_attempt_goes_on_from_what_a_checkpoint_kept():
    first = entered((0, [0.1, 0.4]))
    second = RateLog(PLANNED, 1)
    second.resume(first.state())
    second.enter(2, np.array([0.3, 0.2]))
    assert second.applied.first == pytest.approx(0.1)
    assert second.applied.peak == pytest.approx(0.4)
    old = RateLog(PLANNED, 1)
    old.resume(None)  # of a checkpoint of an earlier version
    old.enter(2, np.array([0.3]))
    assert old.applied == AppliedRates(first=None, peak=0.3, last=0.3)
