"""How a study is followed: when its trackers are asked, and when the process gives way."""

import threading

import pytest

from lrsearch.trackers import sending


class Looks:
    """Stands for a sender, and writes down what happens; the study ends after so many looks."""

    def __init__(self, looks):
        self.left, self.events = looks, []

    def is_over(self):
        return self.left == 1

    def send(self):
        self.left -= 1
        self.events.append("look")


@pytest.mark.parametrize(
    ("looks", "events"),
    [(3, ["look", "loaded", "look", "look"]), (1, ["look"])],
)
def test_the_process_gives_way_once_its_first_look_has_loaded_the_libraries(
    looks, events, monkeypatch
):
    monkeypatch.setattr(sending, "EVERY_SECONDS", 0.0)
    sender = Looks(looks)
    loaded = lambda: sender.events.append("loaded")  # noqa: E731
    sending.follow([sender], threading.Event(), pytest.fail, loaded=loaded)
    assert sender.events == events
