"""Nested rows made flat, and their CSV."""

import csv
import io
import math

from lrsearch.report.flat_rows import csv_text, flatten


def test_nested_dicts_become_dotted_names_and_some_none():
    row = {"a": 1, "b": {"c": {"d": 2}}, "e": {"f": 3}, "g": [1, 2]}
    assert flatten(row, whole=("e",)) == {"a": 1, "b.c.d": 2, "f": 3, "g": "[1, 2]"}


def test_columns_of_all_rows_are_there_and_numbers_survive():
    rows = [{"a": math.pi, "b": None}, {"c": 'say "x", y\nz', "a": 1e-300}]
    first, second = csv.DictReader(io.StringIO(csv_text(rows)))
    assert float(first["a"]) == math.pi
    assert first == first | {"b": "", "c": ""}
    assert (float(second["a"]), second["c"]) == (1e-300, rows[1]["c"])
