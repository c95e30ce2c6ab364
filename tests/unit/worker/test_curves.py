"""Curve points: in bulk, about once a second, none lost to an outage."""

import math
from dataclasses import replace

from lrsearch.errors import StorageUnavailable
from lrsearch.values import Progress
from lrsearch.worker.curves import CurveBuffer


class Table:
    """Takes writes, or is away."""

    def __init__(self):
        self.away, self.writes = False, []

    def write(self, points):
        if self.away:
            raise StorageUnavailable("away")
        self.writes.append(
            {pair: [each.epoch for each in own] for pair, own in points.items()}
        )


def progress(epoch, trial_id=1, value=0.5):
    return Progress(
        trial_id=trial_id, attempt=1, epoch=epoch, epochs=9, step=epoch, total_steps=9, rate=0.1, seconds=1.0,
        logs={"loss": 1.0, "val_loss": math.nan}, value=value,
    )  # fmt: skip


def test_points_wait_for_the_second_to_pass():
    table, clock = Table(), [0.0]
    buffer = CurveBuffer(table.write, lambda: clock[0])
    for epoch in range(1, 5):
        buffer.add(progress(epoch))
        buffer.flush_if_due()
        clock[0] += 0.4
    assert table.writes == [{(1, 1): [1, 2, 3, 4]}]


def test_an_outage_delays_points_and_loses_none():
    table, clock = Table(), [0.0]
    buffer = CurveBuffer(table.write, lambda: clock[0])
    table.away = True
    buffer.add(progress(1))
    buffer.flush()
    table.away = False
    buffer.add(progress(2))
    buffer.flush()
    assert table.writes == [{(1, 1): [1, 2]}]


def test_a_write_that_runs_late_sees_what_it_was_given():
    given = []

    def left_to_itself(points):
        given.append(points)
        raise StorageUnavailable("no answer within 2 s")

    buffer = CurveBuffer(left_to_itself, lambda: 0.0)
    buffer.add(progress(1))
    buffer.flush()
    buffer.add(progress(2))
    buffer.add(progress(1, trial_id=2))
    buffer.take(1, 1)
    assert {
        pair: [each.epoch for each in points] for pair, points in given[0].items()
    } == {(1, 1): [1]}


def test_all_attempts_of_a_worker_are_written_at_once():
    table = Table()
    buffer = CurveBuffer(table.write, lambda: 0.0)
    for trial_id in (1, 2, 1):
        buffer.add(progress(1 + trial_id, trial_id=trial_id))
    buffer.flush()
    assert table.writes == [{(1, 1): [2, 2], (2, 1): [3]}]


def test_what_is_taken_is_not_written_again():
    table = Table()
    buffer = CurveBuffer(table.write, lambda: 0.0)
    buffer.add(progress(1))
    buffer.add(progress(1, trial_id=2))
    assert [each.epoch for each in buffer.take(1, 1)] == [1]
    buffer.flush()
    assert table.writes == [{(2, 1): [1]}]


def test_an_epoch_whose_rate_is_no_number_costs_the_curve_its_point_and_nothing_else():
    table = Table()
    curves = CurveBuffer(table.write, lambda: 0.0)
    for each in (progress(1), replace(progress(2), rate=math.nan), progress(3)):
        curves.add(each)
    curves.flush()
    assert table.writes == [{(1, 1): [1, 3]}]
