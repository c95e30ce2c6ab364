"""The pipe between a worker and its parent: in order, never in the way, and quick to notice a dead
parent.
"""

import json
import os
import threading

from lrsearch.worker.channel import BACKLOG, Mouth


def test_events_arrive_in_order_one_a_line():
    read, write = os.pipe()
    mouth = Mouth(write)
    for index in range(50):
        mouth.say("note", text=f"line {index}\n")
    mouth.close()
    os.close(write)
    with os.fdopen(read) as lines:
        assert [json.loads(line)["text"] for line in lines] == [
            f"line {index}\n" for index in range(50)
        ]


def test_a_parent_that_does_not_read_holds_nothing_up_and_loses_only_progress():
    read, write = os.pipe()
    mouth = Mouth(write)
    for _ in range(5_000):  # far more than a pipe holds
        mouth.say("trial.progress", text="x" * 200)
    mouth.say("trial.ended", number=1)
    seen = []

    def listen():
        with os.fdopen(read) as lines:
            seen.extend(lines)

    reader = threading.Thread(target=listen)
    reader.start()
    mouth.close()
    os.close(write)
    reader.join()
    assert json.loads(seen[-1])["event"] == "trial.ended"
    assert len(seen) < 5_000
    assert len(seen) > BACKLOG


def test_a_dead_parent_is_no_error():
    read, write = os.pipe()
    os.close(read)
    mouth = Mouth(write)
    mouth.say("note", text="to nobody")
    mouth.close()
    os.close(write)
