"""The pipe between a worker and its parent: in order, never in the way, and quick to
notice a dead parent.
"""

import json
import os
import threading
import time

from lrsearch.messages import Note, TrialProgress, WorkerDone
from lrsearch.worker.channel import BACKLOG, EventWriter

PROGRESS = TrialProgress(
    trial_id=1,
    attempt=1,
    epoch=1,
    epochs=9,
    step=1,
    total_steps=9,
    rate=0.1,
    seconds=1.0,
    value=None,
)


def test_events_arrive_in_order_one_a_line():
    read, write = os.pipe()
    events = EventWriter(write)
    for index in range(50):
        events.write(Note(text=f"line {index}\n"))
    events.close()
    os.close(write)
    with os.fdopen(read) as lines:
        assert [json.loads(line)["text"] for line in lines] == [
            f"line {index}\n" for index in range(50)
        ]


def test_a_parent_that_does_not_read_holds_nothing_up_and_loses_only_progress():
    read, write = os.pipe()
    events = EventWriter(write)
    for _ in range(5_000):  # far more than a pipe holds
        events.write(PROGRESS)
    events.write(WorkerDone(reason="over"))
    seen = []

    def listen():
        with os.fdopen(read) as lines:
            seen.extend(lines)

    reader = threading.Thread(target=listen)
    reader.start()
    events.close()
    os.close(write)
    reader.join()
    assert json.loads(seen[-1])["event"] == "done"
    assert len(seen) < 5_000
    assert len(seen) > BACKLOG


def test_a_dead_parent_is_no_error_and_leaves_nothing_waiting():
    failed = []
    read, write = os.pipe()
    os.close(read)
    events = EventWriter(write, on_failure=failed.append)
    for _ in range(3):
        events.write(Note(text="to nobody"))
    began = time.monotonic()
    events.close(timeout=5.0)
    assert time.monotonic() - began < 5.0, "its thread has ended by itself"
    os.close(write)
    assert failed == []
