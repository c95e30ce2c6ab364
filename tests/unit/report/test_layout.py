"""Tables that fit a width: what is left out, what is cut, and that both are said."""

import pytest
from rich.cells import cell_len

from lrsearch.report.layout import Column, bar, clauses, paragraph, shorten, table

COLUMNS = [
    Column(head="study", cells=["digits", "another"]),
    Column(head="n", cells=["7", "112"], right=True),
    Column(head="file", cells=["studies/digits.py", "x.py"], rank=2, least=8),
    Column(head="state", cells=["open", "finished"], rank=1),
]


def test_without_a_width_everything_is_shown():
    assert table(COLUMNS) == [
        "study      n  file               state",
        "digits     7  studies/digits.py  open",
        "another  112  x.py               finished",
    ]


def test_a_column_is_cut_then_left_out_and_named():
    assert table(COLUMNS, 35)[1] == "digits     7  studies/...  open"
    assert table(COLUMNS, 30) == [
        "study      n  state",
        "digits     7  open",
        "another  112  finished",
        "(no room for: file)",
    ]


def test_a_column_that_is_shown_cut_is_not_called_missing():
    assert table(
        [
            Column(head="a", cells=["1"]),
            Column(head="objective", cells=["val_accuracy"], rank=1, least=4),
        ],
        9,
    ) == [
        "a  obj...",
        "1  val...",
    ]


def test_an_empty_column_takes_no_room_and_is_not_missed():
    lines = table(
        [COLUMNS[0], Column(head="a long reason", cells=["", ""], rank=1)], 10
    )
    assert lines == ["study", "digits", "another"]


def test_what_must_stay_is_cut_where_even_that_has_no_room():
    assert table([Column(head="study", cells=["n" * 50], least=10)], 20) == [
        "study",
        "n" * 17 + "...",
    ]


@pytest.mark.parametrize("width", [1, 5, 12, 20, 40, 80])
def test_no_line_is_wider_than_it_may_be_whatever_the_cells_hold(width):
    cells = ["学習率の探索は楽しい" * 3, "e\u0301" * 30, ""]
    columns = [
        Column(head="name", cells=cells, least=6),
        Column(head="other", cells=cells, rank=1, least=6),
        COLUMNS[0],
    ]
    columns[2] = Column(head="three", cells=["1", "2", "3"])
    assert all(cell_len(line) <= width for line in table(columns, width))


def test_wide_characters_are_aligned_by_their_cells():
    lines = table([Column("", ["学習", "ab"]), Column("", ["1", "2"])])
    assert lines == ["学習  1", "ab    2"]


def test_prose_breaks_between_words_and_never_within_a_command():
    text = "note: see lrsearch show a-study-with-a-long-name 12 for why"
    assert (
        paragraph(text, 30, hang="      ")
        == "note: see lrsearch show\n      a-study-with-a-long-name\n      12 for why"
    )
    assert paragraph(text, None) == text


def test_clauses_that_have_no_room_are_left_out():
    assert clauses(["4 done", "3 waiting", "1 failed"], 18) == "4 done, 3 waiting"
    assert shorten("abcdefgh", 6) == "abc..."


def test_a_bar_is_full_when_all_is_done_and_never_before():
    assert [bar(done, 3, 12) for done in (0, 1, 3)] == [
        "[----------]",
        "[###-------]",
        "[##########]",
    ]
    assert bar(999, 1000, 12) == "[#########-]"
    assert bar(0, 0, 4) == "[--]"
