"""When a program that waits for a study is answered, and with which exit code."""

import re

import pytest
from click.testing import CliRunner

from lrsearch.cli import waiting
from lrsearch.cli.main import cli
from lrsearch.cli.waiting import exit_code, next_action, wait_for_change


def status(**changes):
    known = {
        "study": "my toy",
        "state": "open",
        "best": None,
        "yours": None,
        "ended": False,
    }
    return known | {"retests": {"planned": 0}, "workers": [{}], "done": 0} | changes


def waited(monkeypatch, *looks, seconds=10):
    """How many looks it took, of looks a second apart."""
    clock, left = [0.0], list(looks)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        waiting.time, "sleep", lambda each: clock.__setitem__(0, clock[0] + each)
    )
    last = wait_for_change(lambda: left.pop(0) if len(left) > 1 else left[0], seconds)
    assert last == (looks[len(looks) - len(left)] if len(left) > 1 else left[0])
    return clock[0]


@pytest.mark.parametrize(
    "change",
    [
        {"state": "draining"},
        {"best": {"trial": 3}},
        {"retests": {"planned": 12}},
        {"workers": []},
        {"ended": True},
    ],
)
def test_a_change_that_decides_what_to_do_next_is_answered_at_once(monkeypatch, change):
    assert waited(monkeypatch, status(), status(), status(**change)) == 2.0


def test_an_ended_trial_alone_is_no_change(monkeypatch):
    assert waited(monkeypatch, status(), status(done=1), status(done=2)) == 10.0


@pytest.mark.parametrize("over", [{"ended": True}, {"workers": []}])
def test_what_nothing_will_happen_to_is_not_waited_for(monkeypatch, over):
    assert waited(monkeypatch, status(**over)) == 0.0


@pytest.mark.parametrize(
    ("found", "code", "action"),
    [
        ({}, 5, "wait"),
        ({"workers": []}, 6, "attach"),
        ({"ended": True}, 0, "take"),
        ({"ended": True, "workers": []}, 0, "take"),
    ],
)
def test_the_exit_code_and_the_next_step_say_whether_it_has_ended(found, code, action):
    data = status(**found)
    told = next_action(data, {"action": "take", "text": "Take it."})
    assert (exit_code(data), told["action"]) == (code, action)
    assert action == "take" or "'my toy'" in told["text"]


def test_a_study_that_was_stopped_is_first_opened_again():
    told = next_action(status(workers=[], state="stopped"), {})
    assert told["text"].endswith("lrsearch resume 'my toy' && lrsearch attach 'my toy'")


def test_the_skill_names_every_exit_code_of_waiting_and_is_printed_whole():
    text = CliRunner().invoke(cli, ["skill"]).stdout
    assert text.startswith("---\nname: lrsearch\ndescription: ")
    codes = re.findall(
        r"\d", "".join(re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE))
    )
    assert {*"01234", str(waiting.RUNNING), str(waiting.IDLE)} == set(codes)
    assert text.rstrip().endswith("new total.")
