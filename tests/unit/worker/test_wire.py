"""Errors cross the process boundary as themselves."""

import json

import pytest

from lrsearch.errors import (
    FingerprintMismatch,
    InvalidValue,
    StorageUnavailable,
    StudyBroken,
    StudyFileError,
    UnknownName,
)
from lrsearch.messages import Message
from lrsearch.worker.wire import error_from_message, error_to_message


def crossed(error):
    """The error as the parent raises it."""
    line = json.dumps(error_to_message(error).to_json())
    return error_from_message(Message.from_json(json.loads(line)))


@pytest.mark.parametrize(
    "error",
    [
        InvalidValue("epochs", got=0, allowed="at least 1"),
        StudyFileError("no definition", traceback_text="Traceback ..."),
        FingerprintMismatch("digits", differences={"epochs": (1, 2)}),
        StorageUnavailable("away"),
    ],
)
def test_our_own_come_back_as_the_same_class_with_text_and_exit_code(error):
    back = crossed(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.exit_code == error.exit_code
    assert getattr(back, "traceback_text", "") == getattr(error, "traceback_text", "")


def test_any_other_becomes_a_broken_study_with_its_traceback():
    try:
        {}["missing"]
    except KeyError as error:
        back = crossed(error)
    assert isinstance(back, StudyBroken)
    assert "KeyError: 'missing'" in str(back)
    assert "test_wire.py" in back.traceback_text


def test_what_programs_read_crosses_too():
    error = UnknownName("optimizer", got="adma", known=["adam", "adamax"])
    back = crossed(error).to_json()
    assert back == error.to_json()
    assert (back["field"], back["got"], back["allowed"], back["fix"]) == (
        "optimizer",
        "adma",
        ["adam", "adamax"],
        "Did you mean 'adam'?",
    )


def test_a_value_that_json_cannot_hold_crosses_as_its_text():
    back = crossed(InvalidValue("space", got={1}, allowed="a SearchSpace"))
    assert back.got == "{1}"


def test_one_that_cannot_be_shown_is_told_all_the_same():
    class Unshowable(BaseException):
        def __str__(self):
            raise KeyError("no text")

    back = crossed(Unshowable())
    assert isinstance(back, StudyBroken)
    assert "Unshowable: (its text cannot be shown: KeyError)" in str(back)
